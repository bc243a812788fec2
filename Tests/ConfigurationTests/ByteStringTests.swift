import Configuration
import Testing

/// Texts of any bytes.
@Suite struct ByteStringTests {
    @Test(
        arguments: [[], [0x70, 0xe4, 0x73, 0x73], [0xff, 0x80, 0x7f, 0x01], Array("é".utf8)] as [[UInt8]]
    )
    func cStringHasTheBytesAndAZero(bytes: [UInt8]) {
        let text = ByteString(bytes).cString
        #expect(text.map { UInt8(bitPattern: $0) } == bytes + [0])
    }
}
