import Configuration
import Testing

@testable import FPMCtl

/// What `fpmctl doctor` says of AppArmor.
struct AppArmorTests {
    private static let profiles = "/sys/kernel/security/apparmor/profiles"
    private static let enabled = ["/sys/module/apparmor/parameters/enabled": "Y"]

    private func findings(_ files: [String: String], hat: String? = nil, isRunning: Bool = true) -> [Finding]
    {
        var pool = pool(workers: 2)
        pool.apparmorHat = hat.map { ByteString($0) }
        return FakeMachine(files).findings([pool], isRunning: isRunning) { $0.examineAppArmor() }
    }

    private func confined(_ text: String, _ more: [String: String] = [:]) -> [String: String] {
        Self.enabled.merging(["/proc/100/attr/apparmor/current": text]) { $1 }.merging(more) { $1 }
    }

    @Test func kernelWithout() {
        for files in [[:], ["/sys/module/apparmor/parameters/enabled": "N"]] {
            #expect(findings(files).bad.isEmpty)
            #expect(
                findings(files, hat: "site").has(
                    .problem,
                    "this kernel has no AppArmor",
                    "remove apparmor_hat"
                )
            )
        }
    }

    @Test func profileOfTheMaster() {
        #expect(findings(confined("fpmd (enforce)")).has(.fine, "confines the master: fpmd (enforce)"))
        #expect(
            findings(confined("fpmd (complain)")).has(.advice, "only complains", "aa-enforce /usr/sbin/fpmd")
        )
        let loaded = [Self.profiles: "other (enforce)\nfpmd (complain)\nfpmd-engine (unconfined)"]
        #expect(
            findings(confined("unconfined", loaded)).has(
                .warning,
                "loaded, but the master runs without",
                "systemctl restart fpmd"
            )
        )
        let installed = ["/etc/apparmor.d/usr.sbin.fpmd": "profile", Self.profiles: "other (enforce)"]
        #expect(
            findings(confined("unconfined", installed)).has(.advice, "runs without", "apparmor_parser -r")
        )
        #expect(findings(confined("unconfined")).has(.advice, "has no profile", "packaging/apparmor"))
        // An older kernel has one file for all security modules.
        #expect(
            findings(Self.enabled.merging(["/proc/100/attr/current": "fpmd (enforce)"]) { $1 }).has(
                .fine,
                "fpmd (enforce)"
            )
        )
        #expect(findings(Self.enabled).has(.advice, "does not say", "as root"))
    }

    @Test func withoutAMaster() {
        #expect(findings(Self.enabled, isRunning: false).isEmpty)
        let installed = Self.enabled.merging(["/etc/apparmor.d/usr.sbin.fpmd": "", Self.profiles: ""]) { $1 }
        #expect(
            findings(installed, isRunning: false).has(
                .advice,
                "installed, but not loaded",
                "apparmor_parser -r"
            )
        )
    }

    @Test func hats() {
        let loaded = confined(
            "fpmd (enforce)",
            [Self.profiles: "fpmd (enforce)\nfpmd-engine//site (enforce)"]
        )
        #expect(findings(loaded, hat: "site").bad.isEmpty)
        #expect(findings(loaded, hat: "sit").has(.problem, "no hat of that name is loaded", "fpmd-engine"))
        #expect(findings(confined("fpmd (enforce)"), hat: "site").bad.isEmpty, "what is loaded is not known")
    }
}
