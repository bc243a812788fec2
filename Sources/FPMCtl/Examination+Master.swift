import Configuration
import Control

/// The running master, as it describes itself.
extension Examination {
    mutating func examineMaster() {
        guard let running else { return }
        let master = running["master"] ?? .null
        add(.fine, "fpmd \(master.number("pid")) is \(master.words("state"))")
        for pool in running["pools"]?.elements ?? [] {
            let settings = settings(of: pool.words("name"))
            let reached = pool.number("max_children_reached")
            if reached > 0 {
                add(
                    .warning,
                    "pm.max_children was reached \(reached) times, \(pool.number("max_listen_queue")) requests waited at most",
                    pool: settings,
                    remedy: "raise pm.max_children if the memory allows it"
                )
            }
            if pool.words("state") == "drained" {
                add(.warning, "is drained", pool: settings, remedy: "fpmctl undrain \(pool.words("name"))")
            }
            if settings == nil {
                add(
                    .advice,
                    "pool \(pool.words("name")) runs, but is not in this configuration",
                    remedy: "fpmctl reload"
                )
            } else if pool.number("configured_max_children") != settings?.maxChildren {
                add(
                    .advice,
                    "runs with another pm.max_children than is configured",
                    pool: settings,
                    remedy: "fpmctl reload"
                )
            }
        }
    }
}
