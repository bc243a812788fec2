internal import CEpoll
internal import Configuration
internal import Glibc
internal import Logging

/// Listening sockets that whoever started this process hands over: `FPM_SOCKETS=ADDRESS=NUMBER,…`, continued
/// in `FPM_SOCKETS_1`, `FPM_SOCKETS_2` and so on, as php-fpm reads them.
///
/// An address is the numeric `ADDRESS:PORT`, IPv6 without brackets, or a path.
enum InheritedSockets {
    private static let maximumVariables = 256

    /// One entry.
    struct Entry: Equatable {
        let address: ByteString
        let descriptor: CInt
    }

    /// The entries of one variable; those that make no sense are left out.
    static func entries(_ text: ByteString) -> [Entry] {
        text.bytes.split(separator: UInt8(ascii: ",")).compactMap { word in
            guard let equals = word.lastIndex(of: UInt8(ascii: "=")), equals > word.startIndex,
                let number = CInt(String(decoding: word[(equals + 1)...], as: UTF8.self)),
                number > STDERR_FILENO
            else { return nil }
            return Entry(address: ByteString(word[..<equals]), descriptor: number)
        }
    }

    /// Takes over all sockets of the environment, naming each in the log.
    static func take(log: Log) -> [Listener] {
        var taken: [Listener] = []
        var numbers: Set<CInt> = []
        for index in 0..<maximumVariables {
            let name = index == 0 ? "FPM_SOCKETS" : "FPM_SOCKETS_\(index)"
            guard let value = getenv(name) else { break }
            let text = ByteString(UnsafeRawBufferPointer(start: value, count: strlen(value)))
            for entry in entries(text) where numbers.insert(entry.descriptor).inserted {
                guard cepoll_adopt_listener(entry.descriptor) == 0 else {
                    log.error(
                        "inherited socket fd=\(entry.descriptor), \"\(entry.address)\" is not a listening socket; not used"
                    )
                    continue
                }
                let listener = Listener(inherited: entry.descriptor, address: entry.address)
                listener.announce(to: log)
                taken.append(listener)
            }
        }
        return taken
    }
}
