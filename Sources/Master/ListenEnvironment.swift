internal import Configuration
internal import Logging

/// What LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES say, as sd_listen_fds_with_names(3) describes them.
///
/// Pure.
struct ListenEnvironment: Equatable {
    /// The first descriptor that is handed over.
    static let firstDescriptor: Int32 = 3
    /// More are a mistake of whoever set the number.
    static let mostDescriptors: Int32 = 65536

    /// One descriptor and its name: FileDescriptorName= of a socket unit, which is the unit's name if that is not set,
    /// or FDNAME= of a stored one.
    struct Entry: Equatable {
        let descriptor: Int32
        let name: ByteString
    }

    /// A variable that makes no sense: what, and what to do.
    struct Problem: Error, Equatable {
        let message: ByteString
    }

    /// In the order of their numbers; none when this process is not meant.
    let entries: [Entry]
    /// The process that is meant, if it is another one.
    let other: Int32?

    /// Reads the three variables, nil where one is not set, for process `own`.
    ///
    /// - Throws: ``Problem`` when they contradict each other or are no numbers.
    init(process: ByteString?, count: ByteString?, names: ByteString?, own: Int32) throws(Problem) {
        guard process != nil || count != nil else {
            (entries, other) = ([], nil)
            return
        }
        guard let process else { throw Problem("LISTEN_PID is not set, but LISTEN_FDS is") }
        guard let meant = Int32(process.description), meant > 0 else {
            throw Problem("LISTEN_PID: expected a process id, found \(shown(process))")
        }
        // The variables of another process, which this one has inherited: not ours, by definition.
        guard meant == own else {
            (entries, other) = ([], meant)
            return
        }
        other = nil
        guard let count else { throw Problem("LISTEN_FDS is not set, but LISTEN_PID is") }
        guard let number = Int32(count.description), (0...Self.mostDescriptors).contains(number) else {
            throw Problem("LISTEN_FDS: expected a number of descriptors, found \(shown(count))")
        }
        let words = names.map {
            $0.bytes.split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false)
        }
        // No descriptor has one empty name.
        if let words, words.count != Int(number), !(number == 0 && words == [[]]) {
            throw Problem("LISTEN_FDNAMES: expected \(number) names as LISTEN_FDS says, found \(words.count)")
        }
        entries = (0..<number).map { index in
            let name = words.map { ByteString($0[Int(index)]) } ?? "unknown"
            return Entry(descriptor: Self.firstDescriptor + index, name: name)
        }
    }
}

/// A value of the environment in quotes, as one line whatever is in it, and not a long one.
func shown(_ value: ByteString) -> ByteString {
    let most = 200
    let text = ByteString(OutputAssembler.visible(Array(value.bytes.prefix(most))))
    return value.bytes.count > most ? "\"\(text)…\"" : "\"\(text)\""
}

extension ListenEnvironment.Problem {
    init(_ text: ByteString) {
        message = "socket activation: \(text); correct it where fpmd is started"
    }
}

/// The names under which this service keeps listeners in systemd's file descriptor store.
///
/// Pure.
enum StoredName {
    private static let prefix = Array("fpmd-listener.".utf8)
    /// systemd takes up to 255 bytes.
    private static let longest = 200

    /// The name for a listener's address: printable, without a colon, and another one for each address.
    static func name(for address: ByteString) -> String {
        var text = prefix
        var isExact = true
        for byte in address.bytes {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "/"),
                UInt8(ascii: "-"):
                text.append(byte)
            default:
                text.append(UInt8(ascii: "_"))
                isExact = false
            }
        }
        guard !isExact || text.count > longest else { return String(decoding: text, as: UTF8.self) }
        // FNV-1a: what was replaced or cut off still makes a difference.
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in address.bytes { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
        return String(decoding: text.prefix(longest), as: UTF8.self) + "." + String(hash, radix: 16)
    }

    /// Whether a descriptor with this name comes from the store.
    static func isStored(_ name: ByteString) -> Bool { name.bytes.starts(with: prefix) }
}
