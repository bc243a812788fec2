internal import CEpoll
public import Channel
internal import Configuration
internal import Glibc
internal import Syscalls

/// What a new image of the program reads of the one before it.
public enum Takeover {
    /// The first argument of an image that is only asked whether it would take over.
    public static var checkOption: String { UpgradeCheck.option.description }

    /// The state that the image before this one has left, and that only this call finds.
    ///
    /// - Returns: Nil if this is an ordinary start.
    /// - Throws: ``Unreadable`` if there is one that makes no sense here.
    public static func inherited() throws(Unreadable) -> TakeoverState? {
        let variable = "FPMD_TAKEOVER"
        guard let value = getenv(variable) else { return nil }
        let number = CInt(String(cString: value))
        unsetenv(variable)
        guard let number, number > STDERR_FILENO else { throw Unreadable() }
        let state = try read(number)
        for descriptor in state.descriptors where cepoll_survive_exec(CInt(descriptor), false) < 0 {
            throw Unreadable()
        }
        return state
    }

    /// Answers for an image that is asked: the state must make sense here.
    public static func check() -> Bool { (try? read(UpgradeCheck.stateDescriptor)) != nil }

    /// Says that this image would take over.
    public static func consent() {
        let line = UpgradeCheck.consent + "\n"
        _ = write(STDOUT_FILENO, line, line.utf8.count)
    }

    private static func read(_ descriptor: CInt) throws(Unreadable) -> TakeoverState {
        let file = SharedDescriptor(adopting: descriptor)
        let size = lseek(file.rawValue, 0, CInt(SEEK_END))
        guard size > 0, size < 1 << 30 else { throw Unreadable() }
        var bytes = [UInt8](repeating: 0, count: Int(size))
        let count = bytes.withUnsafeMutableBytes { pread(file.rawValue, $0.baseAddress, $0.count, 0) }
        guard count == bytes.count, let state = TakeoverState(decoding: bytes) else { throw Unreadable() }
        return state
    }

    /// The state is not one of this version.
    public struct Unreadable: Error {}
}
