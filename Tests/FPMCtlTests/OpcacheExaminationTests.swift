import Control
import Testing

@testable import FPMCtl

/// What `fpmctl doctor` says of the opcache in a running pool.
struct OpcacheExaminationTests {
    private func findings(used: Int, free: Int, keys: Int = 10, most: Int = 1000) -> [Finding] {
        let status: JSON = [
            "opcache_enabled": true,
            "memory_usage": ["used_memory": JSON(used), "free_memory": JSON(free), "wasted_memory": JSON(0)],
            "opcache_statistics": ["num_cached_keys": JSON(keys), "max_cached_keys": JSON(most)],
        ]
        return FakeMachine().findings([pool(workers: 1)]) { $0.examineOpcache(status, pool: "www") }
    }

    @Test func fullness() {
        let whole = 512 << 20
        #expect(findings(used: whole / 2, free: whole / 2).has(.fine, "opcache uses 256M of 512M"))
        let full = findings(used: whole - 1, free: 1)
        #expect(full.has(.warning, "opcache is full", "opcache.memory_consumption = 1024"), "\(full.bad)")
        let little = findings(used: 64 << 20, free: 0)
        #expect(little.has(.warning, "opcache is full", "opcache.memory_consumption = 256"), "\(little.bad)")
        #expect(findings(used: 0, free: 1 << 20, keys: 999).has(.warning, "opcache has no more keys"))
    }

    /// The figures are a worker's word.
    @Test(arguments: [Int.min, -1, 0, Int.max]) func absurdFigures(_ number: Int) {
        #expect(findings(used: number, free: number, keys: number, most: number).count == 1)
        #expect(findings(used: 1, free: 1 << 20, keys: number, most: 1).count == 1)
    }
}
