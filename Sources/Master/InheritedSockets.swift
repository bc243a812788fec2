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

    /// The entries of one variable, and what is none.
    static func entries(_ text: ByteString) -> (entries: [Entry], strange: [ByteString]) {
        var entries: [Entry] = []
        var strange: [ByteString] = []
        for word in text.bytes.split(separator: UInt8(ascii: ",")) {
            guard let equals = word.lastIndex(of: UInt8(ascii: "=")), equals > word.startIndex,
                let number = CInt(String(decoding: word[(equals + 1)...], as: UTF8.self)),
                number > STDERR_FILENO
            else {
                strange.append(ByteString(word))
                continue
            }
            entries.append(Entry(address: ByteString(word[..<equals]), descriptor: number))
        }
        return (entries, strange)
    }

    /// Takes over all sockets of the environment, naming each in the log.
    static func take(log: Log) -> [Listener] {
        var taken: [Listener] = []
        var numbers: Set<CInt> = []
        for index in 0..<maximumVariables {
            let name = index == 0 ? "FPM_SOCKETS" : "FPM_SOCKETS_\(index)"
            guard let value = getenv(name) else { break }
            let text = ByteString(UnsafeRawBufferPointer(start: value, count: strlen(value)))
            let (entries, strange) = entries(text)
            if let first = strange.first {
                let more: ByteString = strange.count > 1 ? " and \(strange.count - 1) more" : ""
                log.error(
                    "\(ByteString(name)): expected ADDRESS=NUMBER with the number of a descriptor above 2, found \(shown(first))\(more); not used"
                )
            }
            for entry in entries {
                guard numbers.insert(entry.descriptor).inserted else {
                    log.error(
                        "inherited socket fd=\(entry.descriptor) is named twice; \(shown(entry.address)) not used"
                    )
                    continue
                }
                guard cepoll_adopt_listener(entry.descriptor) == 0 else {
                    log.error(
                        "inherited socket fd=\(entry.descriptor), \(shown(entry.address)) is not a listening socket; not used"
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
