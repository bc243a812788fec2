import Configuration

/// The master's AppArmor profile, and the hats that pools want.
extension Examination {
    private static let program = "/usr/sbin/fpmd"
    private static let profileFile = "/etc/apparmor.d/usr.sbin.fpmd"

    mutating func examineAppArmor() {
        let pools = configuration.pools.filter { $0.apparmorHat?.isEmpty == false }
        guard machine.files.text("/sys/module/apparmor/parameters/enabled")?.hasPrefix("Y") == true else {
            for pool in pools {
                add(
                    .problem,
                    "apparmor_hat is set, but this kernel has no AppArmor: the pool cannot start",
                    pool: pool,
                    remedy: "remove apparmor_hat, or boot with apparmor=1 security=apparmor"
                )
            }
            return add(.fine, "AppArmor is not in use on this machine")
        }
        // Lines of `NAME (MODE)`; not readable for everybody, nor in every container.
        let loaded = machine.files.text("/sys/kernel/security/apparmor/profiles").map {
            $0.split(separator: "\n").map(String.init)
        }
        examineProfile(loaded)
        guard let loaded else { return }
        for pool in pools {
            let hat = pool.apparmorHat?.description ?? ""
            guard !loaded.contains(where: { $0.contains("//\(hat) (") }) else { continue }
            add(
                .problem,
                "apparmor_hat = \(plain(hat)), but no hat of that name is loaded: the pool cannot start",
                pool: pool,
                remedy:
                    "add it to the profile fpmd-engine in \(Self.profileFile), then apparmor_parser -r \(Self.profileFile)"
            )
        }
    }

    private mutating func examineProfile(_ loaded: [String]?) {
        let isInstalled = machine.files.text(Self.profileFile) != nil
        let isLoaded = loaded.map {
            $0.contains { $0.hasPrefix("fpmd (") || $0.hasPrefix("\(Self.program) (") }
        }
        guard let master = machine.master else {
            if isLoaded == false, isInstalled {
                add(
                    .advice,
                    "the AppArmor profile of fpmd is installed, but not loaded",
                    remedy: "apparmor_parser -r \(Self.profileFile)"
                )
            }
            return
        }
        guard let confinement = master.confinement else {
            return add(
                .advice,
                "the kernel does not say how AppArmor confines the master",
                remedy: "run fpmctl doctor as root, outside of containers"
            )
        }
        if confinement.hasSuffix("(enforce)") {
            add(.fine, "AppArmor confines the master: \(plain(confinement))")
        } else if confinement.hasSuffix("(complain)") {
            add(
                .advice,
                "AppArmor only complains about the master: \(plain(confinement))",
                remedy:
                    "aa-enforce \(Self.program) when the kernel's log is silent (journalctl -k -g apparmor)"
            )
        } else if isLoaded == true {
            add(
                .warning,
                "the AppArmor profile of fpmd is loaded, but the master runs without: it was started before, or is another program",
                remedy: "systemctl restart fpmd"
            )
        } else if isInstalled {
            add(
                .advice,
                "the AppArmor profile of fpmd is installed, but the master runs without",
                remedy: "apparmor_parser -r \(Self.profileFile), then systemctl restart fpmd"
            )
        } else {
            add(
                .advice,
                "AppArmor is in use, but the master has no profile",
                remedy: "install \(Self.profileFile) (packaging/apparmor), load it, and restart fpmd"
            )
        }
    }
}
