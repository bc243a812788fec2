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
    }

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
