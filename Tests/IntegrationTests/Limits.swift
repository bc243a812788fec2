import TestSupport
import Testing

/// Sets a limit of a running process, as prlimit(1) spells it.
///
/// As the user of the process: root may do this for others only with CAP_SYS_RESOURCE.
func limit(_ process: Int32, _ limit: String) throws {
    let target = try #require(ProcessSnapshot(pid: process))
    let user = try #require(target.user)
    let group = try #require(target.group)
    let result = try run(
        [
            "setpriv", "--reuid=\(user)", "--regid=\(group)", "--clear-groups", "prlimit", "--pid",
            "\(process)", limit,
        ]
    )
    #expect(result.status == .code(0), "\(result.errors)")
}
