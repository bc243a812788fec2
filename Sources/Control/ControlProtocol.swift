/// The control socket's protocol, version 1: what `fpmctl` asks of the master, and what it is told.
///
/// A connection carries requests and answers in turn, each a JSON object on a line of its own:
///
///     → {"version":1,"command":"scale","pool":"www","count":8}
///     ← {"version":1,"ok":true,"result":{…}}
///     ← {"version":1,"ok":false,"error":{"code":"noPool","message":"there is no pool ww: …"}}
public enum ControlProtocol {
    /// The version that both sides must have.
    public static let version = 1
    /// Bytes of a request, its newline included.
    public static let longestRequest = 8 << 10
    /// Bytes of an answer, its newline included.
    public static let longestAnswer = 64 << 20
    /// Values in a request.
    static let mostRequestValues = 32
    /// Bytes of a name or path in a request.
    static let longestText = 4096
}

/// What may be asked.
public enum ControlCommand: String, CaseIterable, Sendable {
    case status, health, reload, restart, trace, recycle, scale, drain, undrain, opcache

    /// Whether whoever may only look may ask this.
    public var isReadOnly: Bool {
        switch self {
        case .status, .health: true
        case .reload, .restart, .trace, .recycle, .scale, .drain, .undrain, .opcache: false
        }
    }
}

/// A request, checked for form; whether the pool or process exists is the master's to see.
public struct ControlRequest: Equatable, Sendable {
    /// What is asked.
    public var command: ControlCommand
    /// A pool's name.
    public var pool: String?
    /// A process.
    public var process: Int32?
    /// A number of workers; for `status`, of pools that are shown at most.
    public var count: Int?
    /// What `opcache` is to do: `status`, `scripts`, `reset`, `invalidate`.
    public var action: String?
    /// A file to invalidate; the script after which the list of `scripts` goes on.
    public var file: String?
    /// What `scripts` begins with: `path`, or the most `hits`, `memory`, or the last `used`.
    public var order: String?
    /// Whether `status` shows each worker.
    public var showsWorkers = false

    /// A request for a command alone.
    public init(_ command: ControlCommand) { self.command = command }

    /// Why a request is refused.
    public struct Refused: Error, Equatable, Sendable {
        /// The answer's error.
        public let code: ControlError
        /// The same for people.
        public let reason: String
    }

    /// Reads a request.
    ///
    /// - Parameter line: The line without its newline; the caller bounds its length.
    /// - Throws: ``Refused``: not a request, of another version, unknown command or member.
    public init(decoding line: [UInt8]) throws(Refused) {
        func malformed(_ reason: String) -> Refused { Refused(code: .malformed, reason: reason) }
        let value: JSON
        do {
            value = try JSONDecoder.decode(line, mostValues: ControlProtocol.mostRequestValues)
        } catch {
            throw malformed("not JSON: \(error.reason) at byte \(error.offset)")
        }
        guard case .object(let members) = value else { throw malformed("not an object") }
        guard let version = value["version"]?.count else { throw malformed("no version") }
        guard version == ControlProtocol.version else {
            throw Refused(
                code: .version,
                reason: "protocol version \(version) is asked for, this is version \(ControlProtocol.version)"
            )
        }
        guard let word = value["command"]?.text else { throw malformed("no command") }
        guard let command = ControlCommand(rawValue: word) else {
            throw Refused(code: .command, reason: "there is no such command")
        }
        self.init(command)
        for member in members {
            switch (member.name, member.value) {
            case ("version", _), ("command", _): break
            case ("pool", .string(let text)): pool = try Self.checked(text)
            case ("action", .string(let text)): action = try Self.checked(text)
            case ("file", .string(let text)): file = try Self.checked(text)
            case ("order", .string(let text)): order = try Self.checked(text)
            case ("process", .integer(let number)):
                guard let pid = Int32(exactly: number), pid > 0 else {
                    throw malformed("process is out of range")
                }
                process = pid
            case ("count", .integer(let number)):
                guard (0...Int64(Int32.max)).contains(number) else {
                    throw malformed("count is out of range")
                }
                count = Int(number)
            case ("workers", .bool(let flag)): showsWorkers = flag
            default: throw malformed("an unknown member, or one of a wrong type")
            }
        }
    }

    private static func checked(_ text: String) throws(Refused) -> String {
        guard !text.isEmpty, text.utf8.count <= ControlProtocol.longestText, !text.utf8.contains(0) else {
            throw Refused(code: .malformed, reason: "a text is empty, too long, or has a zero byte")
        }
        return text
    }

    /// The request as a line, its newline included.
    public var encoded: [UInt8] {
        var members = [
            JSON.Member("version", JSON(ControlProtocol.version)),
            JSON.Member("command", .string(command.rawValue)),
        ]
        func add(_ name: String, _ value: JSON?) {
            if let value { members.append(JSON.Member(name, value)) }
        }
        add("pool", pool.map { .string($0) })
        add("process", process.map { JSON($0) })
        add("count", count.map { JSON($0) })
        add("action", action.map { .string($0) })
        add("file", file.map { .string($0) })
        add("order", order.map { .string($0) })
        if showsWorkers { add("workers", true) }
        return JSON.object(members).line + [UInt8(ascii: "\n")]
    }
}

/// Why a request was not done.
public enum ControlError: String, CaseIterable, Error, Sendable {
    /// Not a request.
    case malformed
    /// Another version of the protocol.
    case version
    /// An unknown command.
    case command
    /// The peer may not ask this.
    case denied
    /// There is no such pool.
    case noPool
    /// There is no such worker.
    case noWorker
    /// A number, action or combination that is not possible.
    case value
    /// Something else is under way, or the service starts or stops.
    case busy
    /// What was asked was tried, and refused or failed.
    case failed
    /// It took too long.
    case timeout
}

/// An answer.
public enum ControlAnswer: Equatable, Sendable {
    /// Done; what came of it.
    case done(JSON)
    /// Not done, and why, for people.
    case refused(ControlError, String, details: JSON = .null)

    /// The answer as a line, its newline included.
    public var encoded: [UInt8] {
        let version = JSON(ControlProtocol.version)
        let value: JSON
        switch self {
        case .done(let result): value = ["version": version, "ok": true, "result": result]
        case .refused(let code, let message, let details):
            var error: [JSON.Member] = [
                JSON.Member("code", .string(code.rawValue)), JSON.Member("message", .string(message)),
            ]
            if details != .null { error.append(JSON.Member("details", details)) }
            value = ["version": version, "ok": false, "error": .object(error)]
        }
        return value.line + [UInt8(ascii: "\n")]
    }

    /// Reads an answer, without its newline; nil for anything else.
    public init?(decoding line: [UInt8]) {
        guard let value = try? JSONDecoder.decode(line, mostValues: .max),
            value["version"]?.count == ControlProtocol.version
        else { return nil }
        switch value["ok"]?.flag {
        case true?: self = .done(value["result"] ?? .null)
        case false?:
            guard let error = value["error"], let message = error["message"]?.text else { return nil }
            let code = error["code"]?.text.flatMap { ControlError(rawValue: $0) } ?? .failed
            self = .refused(code, message, details: error["details"] ?? .null)
        case nil: return nil
        }
    }
}
