import Testing

@testable import FPMCtl

/// Limits of control groups in the places where kernels of either version have them.
struct ControlGroupTests {
    private func group(_ files: [String: String]) -> ControlGroup {
        ControlGroup(of: "7", HostFiles(text: { files[$0] }, names: { _ in [] }))
    }

    @Test func versionTwoTakesTheLeastOfAllAbove() {
        let found = group([
            "/proc/7/cgroup": "0::/system.slice/fpmd.service",
            "/sys/fs/cgroup/system.slice/fpmd.service/memory.max": "max",
            "/sys/fs/cgroup/system.slice/fpmd.service/memory.high": "900",
            "/sys/fs/cgroup/system.slice/fpmd.service/pids.max": "4915",
            "/sys/fs/cgroup/system.slice/memory.max": "1000",
            "/sys/fs/cgroup/system.slice/pids.max": "5000",
            "/sys/fs/cgroup/memory.max": "2000",
            "/sys/fs/cgroup/system.slice/memory.swap.max": "0",
        ])
        #expect(found.memory == 1000 && found.memoryHigh == 900 && found.tasks == 4915 && found.swap == 0)
    }

    @Test func versionOneAndBothSideBySide() {
        let found = group([
            "/proc/7/cgroup": "8:pids:/a\n4:memory:/a/b\n3:cpu,cpuacct:/\n0::/",
            "/sys/fs/cgroup/memory/a/b/memory.limit_in_bytes": "9223372036854771712",
            "/sys/fs/cgroup/memory/a/memory.limit_in_bytes": "5000",
            "/sys/fs/cgroup/pids/a/pids.max": "77",
            "/sys/fs/cgroup/memory.max": "1",
        ])
        #expect(found.memory == 5000 && found.memoryHigh == nil && found.swap == nil && found.tasks == 77)
    }

    @Test(arguments: ["", "nonsense", "0:/", "::::", "0::/../.."])
    func whatIsNoListIsNoLimit(_ text: String) {
        let found = group(["/proc/7/cgroup": text])
        #expect(found.memory == nil && found.memoryHigh == nil && found.swap == nil && found.tasks == nil)
    }
}
