import Configuration
import Control

/// Looks at a configuration, the machine, PHP and a running master.
struct Examination {
    let configuration: ServiceConfiguration
    let machine: Machine
    let engine: Engine?
    /// `status` of the running master, if it answers.
    let running: JSON?
    /// Users that web servers run as, in the order of preference; those that exist are looked at.
    let webUsers: [String]
    private(set) var findings: [Finding] = []
    // There may be thousands of pools: what is looked for in all of them for each of them is found here.
    /// What the running master says of its pools, by their names.
    let runningPools: [String: JSON]
    /// Where those listen.
    let runningListens: Set<String>
    /// The places of pools in the configuration, by their names.
    let indices: [String: Int]
    /// The pools of each user, by their places.
    let poolsOfUsers: [ByteString: [Int]]

    init(
        configuration: ServiceConfiguration,
        machine: Machine,
        engine: Engine?,
        running: JSON?,
        webUsers: [String]
    ) {
        self.configuration = configuration
        self.machine = machine
        self.engine = engine
        self.running = running
        self.webUsers = webUsers
        let running = running?["pools"]?.elements ?? []
        runningPools = Dictionary(running.map { ($0.words("name"), $0) }) { first, _ in first }
        runningListens = Set(running.map { $0.words("listen") })
        var indices: [String: Int] = [:]
        var poolsOfUsers: [ByteString: [Int]] = [:]
        for (index, pool) in configuration.pools.enumerated() {
            indices[pool.name.description] = indices[pool.name.description] ?? index
            if let user = pool.user { poolsOfUsers[user, default: []].append(index) }
        }
        self.indices = indices
        self.poolsOfUsers = poolsOfUsers
    }

    /// A pool of the configuration.
    func settings(of pool: String) -> PoolSettings? { indices[pool].map { configuration.pools[$0] } }

    mutating func add(
        _ severity: Finding.Severity,
        _ text: String,
        pool: PoolSettings? = nil,
        remedy: String = ""
    ) {
        findings.append(
            Finding(severity: severity, pool: pool?.name.description ?? "", text: text, remedy: remedy)
        )
    }

    /// Everything.
    mutating func examine() {
        examineLimits()
        examinePlaces()
        examineLogs()
        for pool in configuration.pools {
            examineSocket(pool)
            examineUser(pool)
        }
        examinePHP()
        examineExtensions()
        examineMemory()
        examineAppArmor()
        if configuration.global.processControlTimeout == .zero {
            add(
                .advice,
                "process_control_timeout is 0: a stop ends running requests at once (a reload gives them 60 s)",
                remedy: "set process_control_timeout to what the slowest useful request needs"
            )
        }
        examineMaster()
    }
}
