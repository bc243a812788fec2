import Channel
import Configuration
import Testing

/// What the master writes down for a zygote.
@Suite struct ZygotePlanTests {
    /// A plan in which no field has its default.
    static var full: ZygotePlan {
        var plan = ZygotePlan()
        plan.executable = "/usr/sbin/fpmd"
        plan.iniPath = "/etc/php.ini"
        plan.noIni = true
        plan.extendedInfo = true
        plan.defines = [
            NamedValue(name: "a", value: ByteString([0, 255, 10])), NamedValue(name: "", value: ""),
        ]
        plan.commandLineDefines = 1
        plan.pool = "www"
        plan.userID = 33
        plan.groupID = .max
        plan.userName = "www-data"
        plan.isPrivileged = true
        plan.chroot = "/srv"
        plan.chdir = ""
        plan.fileLimit = 4096
        plan.coreLimit = -1
        plan.priority = -19
        plan.isDumpable = true
        plan.apparmorHat = "hat"
        plan.allowsTracing = true
        plan.clearsEnvironment = false
        plan.environment = [NamedValue(name: "PATH", value: "/bin")]
        plan.settings = [
            PHPSetting(name: "memory_limit", value: "1M", isAdmin: true),
            PHPSetting(name: "display_errors", value: "", isAdmin: false),
        ]
        plan.limitExtensions = [".php", ""]
        plan.logLimit = 8192
        plan.catchesOutput = true
        plan.logLevel = .debug
        plan.processManager = "ondemand"
        plan.slotCount = 50
        plan.maxRequests = 1000
        plan.maxMemory = 1 << 30
        plan.limitsQueue = true
        plan.requestBuffer = 256 << 10
        plan.responseBuffer = 1 << 20
        plan.pingPath = "/ping"
        plan.pingResponse = "pong"
        plan.statusPath = "/status"
        plan.accessFormat = "%R %t"
        plan.suppressedPaths = ["/ping", "/health"]
        plan.logsAccessToJournal = true
        plan.allowedClients = []
        plan.isTCP = true
        return plan
    }

    @Test func everyFieldIsInTheSample() {
        let pairs = zip(Mirror(reflecting: Self.full).children, Mirror(reflecting: ZygotePlan()).children)
        for (sample, initial) in pairs {
            #expect("\(sample.value)" != "\(initial.value)", "\(sample.label ?? "?") has its default")
        }
        #expect(Mirror(reflecting: Self.full).children.count == 41)
    }

    @Test func fullPlanIsReadBack() {
        #expect(ZygotePlan(decoding: Self.full.encoded()) == Self.full)
    }

    @Test func emptyPlanIsReadBack() {
        #expect(ZygotePlan(decoding: ZygotePlan().encoded()) == ZygotePlan())
    }

    /// Absent, empty and filled texts are three things.
    @Test(arguments: [nil, "", "/x"] as [ByteString?])
    func optionalTextsAreTold(text: ByteString?) {
        var plan = ZygotePlan()
        plan.iniPath = text
        plan.userName = text
        plan.chroot = text
        plan.chdir = text
        plan.pingPath = text
        plan.statusPath = text
        plan.accessFormat = text
        plan.allowedClients = text.map { [$0] }
        plan.priority = text.map(\.count)
        #expect(ZygotePlan(decoding: plan.encoded()) == plan)
    }

    @Test(arguments: LogLevel.allCases) func levelsAreReadBack(level: LogLevel) {
        var plan = ZygotePlan()
        plan.logLevel = level
        #expect(ZygotePlan(decoding: plan.encoded())?.logLevel == level)
    }

    // MARK: - Anything else

    @Test func everyTruncationIsRefused() {
        let bytes = Self.full.encoded()
        for count in 0..<bytes.count {
            #expect(ZygotePlan(decoding: Array(bytes[..<count])) == nil, "\(count) bytes")
        }
    }

    @Test func surplusIsRefused() {
        #expect(ZygotePlan(decoding: Self.full.encoded() + [0]) == nil)
    }

    /// Never a crash; and what is accepted is exactly what the bytes say: no number is cut, no odd flag is taken.
    @Test func everyFlippedBitIsRefusedOrMeant() {
        let bytes = Self.full.encoded()
        var accepted = 0
        for index in bytes.indices {
            for bit in 0..<8 {
                var flipped = bytes
                flipped[index] ^= 1 << bit
                guard let plan = ZygotePlan(decoding: flipped) else { continue }
                accepted += 1
                if plan.encoded() != flipped || plan == Self.full {
                    Issue.record("byte \(index), bit \(bit)")
                }
            }
        }
        #expect(accepted > 0, "a flipped bit in a text is another text")
    }

    @Test(arguments: 1...200) func randomDamageIsSurvived(seed: Int) {
        var state = UInt64(seed)
        func random(_ bound: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(state >> 33) % bound
        }
        var bytes = Self.full.encoded()
        for _ in 0..<(1 + random(8)) {
            switch random(4) {
            case 0: bytes[random(bytes.count)] = UInt8(random(256))
            case 1: bytes.remove(at: random(bytes.count))
            case 2: bytes.insert(UInt8(random(256)), at: random(bytes.count))
            default:
                let start = random(bytes.count)
                let end = min(bytes.count, start + 8)
                bytes.replaceSubrange(
                    start..<end,
                    with: [UInt8](repeating: UInt8(random(2) * 255), count: end - start)
                )
            }
        }
        if let plan = ZygotePlan(decoding: bytes) { #expect(plan.encoded() == bytes) }
    }

    @Test func countsThatCannotBeAreRefused() {
        var plan = ZygotePlan()
        for slots in [0, -1, Int.min, Int.max, 1 << 40] {
            plan.slotCount = slots
            #expect(ZygotePlan(decoding: plan.encoded()) == nil, "\(slots) slots")
        }
        plan.slotCount = 1
        for count in [-1, 1, Int.max] {
            plan.commandLineDefines = count
            #expect(ZygotePlan(decoding: plan.encoded()) == nil, "\(count) of no defines")
        }
    }
}
