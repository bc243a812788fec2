import Channel
import Configuration
import Testing

@Suite struct TakeoverStateTests {
    /// A state in which every part occurs.
    static var full: TakeoverState {
        var state = TakeoverState()
        state.childFileLimit = 1024
        state.fileLimit = 524_288
        state.global = [NamedValue(name: "log_level", value: "1")]
        state.errorLog = 10
        state.hasOriginalStandardError = false
        state.helpers = [77, 78]
        state.metricsListener = 0
        var unix = TakeoverState.Listener()
        unix.descriptor = 11
        unix.name = "/run/www.sock"
        unix.path = "/run/www.sock"
        (unix.wasStored, unix.socketUnit, unix.storedName) = (true, "www", "fpmd-listener./run/www")
        (unix.hasFile, unix.device, unix.inode) = (true, 5, -6)
        (unix.hasAccess, unix.userID, unix.groupID, unix.mode) = (true, 33, -1, 0o660)
        (unix.aclUsers, unix.aclGroups, unix.backlog) = ([1, 2], [3], 511)
        unix.queueLimit = 300
        var tcp = TakeoverState.Listener()
        (tcp.descriptor, tcp.name) = (12, "127.0.0.1:9000")
        state.listeners = [unix, tcp]
        state.pools = [pool, TakeoverState.Pool()]
        return state
    }

    private static var pool: TakeoverState.Pool {
        var pool = TakeoverState.Pool()
        pool.name = "www"
        pool.settings = [NamedValue(name: "pm", value: "2"), NamedValue(name: "env", value: "A\0B")]
        (pool.userID, pool.groupID) = (33, 34)
        (pool.groupsOf, pool.userName, pool.home) = ("www-data", "www-data", "/var/www")
        (pool.isDraining, pool.isHeld, pool.maxChildren) = (true, true, 4)
        (pool.listener, pool.statusListener) = (0, 1)
        (pool.startEpoch, pool.slotCount) = (1_700_000_000, 6)
        var shared = TakeoverState.Shared()
        (shared.scoreboard, shared.queueWriter, shared.queueReader) = (20, 21, 22)
        pool.shared = shared
        pool.accessLog = 23
        (pool.nextSerial, pool.limitReached, pool.slowRequests, pool.mostQueued) = (9, 1, 2, 3)
        var zygote = TakeoverState.Zygote()
        (zygote.process, zygote.channel, zygote.output) = (100, 24, 25)
        (zygote.isReady, zygote.isEnding, zygote.report) = (true, true, "report")
        pool.zygote = zygote
        var worker = TakeoverState.Worker()
        (worker.slot, worker.serial, worker.isRespawn, worker.stage) = (5, 8, true, .ready)
        (worker.process, worker.channel, worker.standardOutput, worker.standardError) = (101, 26, 27, 28)
        worker.deposit = 33
        (worker.wasAskedToLeave, worker.isRetiring, worker.isReplaced, worker.startTime) = (
            true, true, true, 42
        )
        var requested = TakeoverState.Worker()
        (requested.slot, requested.channel) = (0, 29)
        pool.workers = [worker, requested]
        var connection = TakeoverState.Connection()
        (connection.descriptor, connection.purpose, connection.flags) = (30, .assembling, 3)
        (connection.acceptedTime, connection.bytes) = (7, ByteString([0, 1, 255]))
        pool.connections = [connection]
        var response = TakeoverState.Response()
        (response.descriptor, response.file, response.position, response.end) = (31, 32, 100, 200)
        (response.bytes, response.next, response.nextBytes) = ("rest", .keep, "next")
        pool.responses = [response]
        return pool
    }

    @Test func isReadBack() {
        #expect(TakeoverState(decoding: Self.full.encoded()) == Self.full)
        #expect(TakeoverState(decoding: TakeoverState().encoded()) == TakeoverState())
    }

    @Test func namesAllDescriptors() {
        #expect(Self.full.descriptors.sorted() == [10, 11, 12] + Array(20...33))
    }

    @Test func nothingShorterIsRead() {
        let bytes = Self.full.encoded()
        for count in bytes.indices { #expect(TakeoverState(decoding: Array(bytes[..<count])) == nil) }
        #expect(TakeoverState(decoding: bytes + [0]) == nil)
    }

    @Test func anotherVersionIsNotRead() throws {
        var bytes = Self.full.encoded()
        let magic = 8 + "fpmd takeover".utf8.count
        #expect(bytes[magic] == UInt8(TakeoverState.version))
        bytes[magic] += 1
        #expect(TakeoverState(decoding: bytes) == nil)
    }

    /// Whatever one byte is changed to, the result is nothing or what its bytes say.
    @Test func changedBytesAreNoOtherState() {
        let bytes = Self.full.encoded()
        for index in bytes.indices {
            var changed = bytes
            changed[index] = ~changed[index]
            if let state = TakeoverState(decoding: changed) { #expect(state.encoded() == changed) }
        }
    }

    private func isRefused(_ change: (inout TakeoverState) -> Void) -> Bool {
        var state = Self.full
        change(&state)
        return TakeoverState(decoding: state.encoded()) == nil
    }

    @Test func referencesAreChecked() {
        #expect(isRefused { $0.pools[0].listener = 2 })
        #expect(isRefused { $0.pools[0].listener = -1 })
        #expect(isRefused { $0.pools[0].statusListener = 2 })
        #expect(isRefused { $0.pools[0].workers[0].slot = 6 })
        #expect(isRefused { $0.pools[0].workers[0].slot = -1 })
        #expect(isRefused { $0.pools[0].workers[1].slot = 5 })
        #expect(isRefused { $0.pools[0].slotCount = 0 })
        #expect(isRefused { $0.pools[0].slotCount = 1 << 40 })
        #expect(isRefused { $0.pools[0].shared = nil })
        #expect(isRefused { $0.pools[0].responses[0].position = 201 })
    }

    @Test func descriptorsHaveOneOwner() {
        #expect(isRefused { $0.errorLog = 11 })
        #expect(isRefused { $0.errorLog = 2 })
        #expect(isRefused { $0.listeners[0].descriptor = -1 })
        #expect(isRefused { $0.pools[0].connections[0].descriptor = 1 << 33 })
        #expect(isRefused { $0.pools[0].zygote?.channel = 26 })
    }

    @Test func processesHaveOneRole() {
        #expect(isRefused { $0.helpers = [101] })
        #expect(isRefused { $0.helpers = [0] })
        #expect(isRefused { $0.metricsListener = 99 })
        #expect(isRefused { $0.pools[0].zygote?.process = 101 })
        #expect(isRefused { $0.pools[0].workers[0].process = 0 })
        #expect(isRefused { $0.pools[0].workers[1].process = 5 })
        #expect(isRefused { $0.pools[0].workers[0].process = -1 })
    }
}
