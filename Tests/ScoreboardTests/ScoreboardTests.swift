import CScoreboard
import Foundation
import Scoreboard
import StatusPage
import Synchronization
import Syscalls
import SystemPackage
import Testing

/// The shared pages as master and status pages read them.
@Suite struct ScoreboardTests {
    @Test func layoutIsAPageEach() throws {
        #expect(MemoryLayout<cscoreboard_pool>.size <= 4096)
        #expect(MemoryLayout<cscoreboard_slot>.size <= 4096)
        #expect([1, 5, 100].map { Scoreboard.size(slotCount: $0) } == [8192, 24576, 413_696])
        let board = try Scoreboard(slotCount: 5)
        #expect(try #require(board.memory).size == 24576)
        #expect(board.slotCount == 5)
        let base = UnsafeRawPointer(try #require(board.memory).base)
        #expect(UnsafeRawPointer(board.pool) == base)
        for index in 0..<5 { #expect(UnsafeRawPointer(board.slot(index)) == base + 4096 * (index + 1)) }
    }

    /// php-fpm's sizes, terminator included: longer text is cut.
    @Test func textsAreCutToTheirFields() throws {
        let board = try Scoreboard(slotCount: 1)
        let long = [CChar](repeating: 0x61, count: 2000)
        long.withUnsafeBufferPointer { buffer in
            let text = cscoreboard_bytes(text: buffer.baseAddress, length: buffer.count)
            cscoreboard_publish(board.slot(0), text, text, text, text, text)
        }
        let slot = UnsafePointer(board.slot(0))
        #expect(strlen(cscoreboard_method(slot)) == 15)
        #expect(strlen(cscoreboard_uri(slot)) == 127)
        #expect(strlen(cscoreboard_query(slot)) == 511)
        #expect(strlen(cscoreboard_user(slot)) == 31)
        #expect(strlen(cscoreboard_script(slot)) == 255)
        #expect(slot.pointee.sequence == 2)
    }

    @Test func absentTextIsEmpty() throws {
        let board = try Scoreboard(slotCount: 1)
        let slot = board.slot(0)
        "alice".withCString { cscoreboard_publish_user(slot, cscoreboard_bytes(text: $0, length: 5)) }
        #expect(String(cString: cscoreboard_user(slot)) == "alice")
        let none = cscoreboard_bytes(text: nil, length: 0)
        cscoreboard_publish(slot, none, none, none, none, none)
        #expect(strlen(cscoreboard_user(slot)) == 0)
        #expect(slot.pointee.sequence == 4)
    }

    @Test func pagesAreSharedAndSealed() throws {
        let master = try Scoreboard(slotCount: 3)
        let worker = try Scoreboard(mapping: #require(master.memory).descriptor, slotCount: 3)
        cscoreboard_store_word(&worker.slot(2).pointee.stage, Scoreboard.Stage.executing.rawValue)
        #expect(master.stage(2) == .executing)
        #expect(
            ftruncate(try #require(master.memory).descriptor.rawValue, 0) == -1,
            "a worker cannot take the pages away"
        )
    }

    @Test(arguments: [-1, 3, Int.max, Int.min])
    func slotsOutsideTrap(index: Int) async {
        #if compiler(>=6.3)
        await #expect(processExitsWith: .failure) { [index] in
            _ = try Scoreboard(slotCount: 3).slot(index)
            exit(0)
        }
        #endif
    }

    // MARK: - Counting

    @Test func slotsAreCountedByStage() throws {
        let board = try Scoreboard(slotCount: 9)
        #expect(board.counts().total == 0)
        // 7 and above mean nothing: whoever writes them is taken for busy.
        for (index, stage) in [0, 1, 2, 3, 4, 5, 6, 7, UInt32.max].enumerated() {
            cscoreboard_store_word(&board.slot(index).pointee.stage, stage)
        }
        let counts = board.counts()
        #expect((counts.idle, counts.active, counts.total) == (1, 7, 8))
        #expect(
            (0..<9).map { board.stage($0) } == [
                .free, .accepting, .reading, .info, .executing, .ending, .finished, .executing, .executing,
            ]
        )
    }

    @Test func stagesHavePHPFPMsNames() {
        let names = (0...6).compactMap { Scoreboard.Stage(rawValue: $0)?.name.description }
        #expect(
            names == [
                "Idle", "Idle", "Reading headers", "Getting request information", "Running", "Ending",
                "Finishing",
            ]
        )
    }

    @Test func stagesTellWhoHasARequest() {
        let stages = (0...6).compactMap { Scoreboard.Stage(rawValue: $0) }
        #expect(stages.filter(\.isServing) == [.reading, .info, .executing, .ending, .finished])
        #expect(stages.filter(\.isRunning) == [.info, .executing, .ending, .finished])
    }

    @Test func requestsKeepActiveAndItsMaximum() throws {
        let board = try Scoreboard(slotCount: 1)
        for _ in 0..<3 { cscoreboard_request_begins(board.pool) }
        for _ in 0..<2 { cscoreboard_request_ends(board.pool) }
        cscoreboard_request_begins(board.pool)
        #expect(board.pool.pointee.active == 2)
        #expect(board.pool.pointee.max_active == 3)
    }

    // MARK: - Clearing

    @Test func clearKeepsTheTotalOfRequests() throws {
        let board = try Scoreboard(slotCount: 3)
        for (index, requests) in [10, 20, 5].enumerated() {
            cscoreboard_store(&board.slot(index).pointee.requests, Int64(requests))
        }
        #expect(board.acceptedRequests() == 35)
        board.clear(1)
        #expect(board.acceptedRequests() == 35)
        #expect(board.slot(1).pointee.requests == 0)
        board.clear(1)
        #expect(board.acceptedRequests() == 35, "a cleared slot has nothing to add")
        cscoreboard_store(&board.slot(1).pointee.requests, 1)
        board.clear(0)
        #expect(board.acceptedRequests() == 36)
    }

    @Test func clearedSlotIsZero() throws {
        let board = try Scoreboard(slotCount: 2)
        let page = UnsafeMutableRawPointer(board.slot(0))
        memset(page, 0xa5, MemoryLayout<cscoreboard_slot>.size)
        memset(UnsafeMutableRawPointer(board.slot(1)), 0xa5, MemoryLayout<cscoreboard_slot>.size)
        board.clear(0)
        #expect(
            UnsafeRawBufferPointer(start: page, count: MemoryLayout<cscoreboard_slot>.size).allSatisfy {
                $0 == 0
            }
        )
        #expect(board.slot(1).pointee.stage == 0xa5a5_a5a5, "the neighbour is left alone")
        #expect(board.stage(0) == .free)
    }

    /// A worker that dies in a request does not end it: the master does.
    @Test(
        arguments: [
            (0, 2), (1, 2), (2, 1), (3, 1), (4, 1), (5, 1), (6, 1), (7, 1),
        ] as [(UInt32, Int64)]
    )
    func clearEndsTheRequest(stage: UInt32, active: Int64) throws {
        let board = try Scoreboard(slotCount: 1)
        for _ in 0..<2 { cscoreboard_request_begins(board.pool) }
        cscoreboard_store_word(&board.slot(0).pointee.stage, stage)
        board.clear(0)
        #expect(board.pool.pointee.active == active)
    }

    // MARK: - Hostile values

    @Test(
        arguments: [
            ([-5, 3], 0, 3), ([Int64.min, 3], 0, 3), ([.max, 3], 0, .max), ([.max, .max], 0, .max),
            ([3, 4], .max, .max),
            ([3, 4], -100, 7), ([3, 4], .min, 7), ([.max, .min], .min, .max),
        ] as [([Int64], Int64, Int64)]
    )
    func totalsAreNeitherNegativeNorWrapped(requests: [Int64], retired: Int64, expected: Int64) throws {
        let board = try Scoreboard(slotCount: 2)
        for (index, count) in requests.enumerated() {
            cscoreboard_store(&board.slot(index).pointee.requests, count)
        }
        cscoreboard_store(&board.pool.pointee.retired_requests, retired)
        #expect(board.acceptedRequests() == expected)
        board.clear(0)
        #expect(board.acceptedRequests() == expected)
        board.clear(1)
        #expect(board.acceptedRequests() == expected)
    }

    /// What a worker writes over the counters of the pool does not trap whoever counts on.
    @Test(arguments: [Int64.min, -1, .max])
    func countersWrapRatherThanTrap(value: Int64) throws {
        let board = try Scoreboard(slotCount: 1)
        cscoreboard_store(&board.pool.pointee.active, value)
        cscoreboard_request_begins(board.pool)
        cscoreboard_request_ends(board.pool)
        cscoreboard_request_ends(board.pool)
        #expect(cscoreboard_load(&board.pool.pointee.active) == value &- 1)
    }

    @Test func copiesAreTerminatedWhateverTheOwnerWrote() throws {
        let board = try Scoreboard(slotCount: 1)
        let slot = board.slot(0)
        memset(UnsafeMutableRawPointer(slot), 0x41, MemoryLayout<cscoreboard_slot>.size)
        slot.pointee.sequence = 8
        var copy = cscoreboard_slot()
        #expect(cscoreboard_copy(slot, &copy))
        withUnsafePointer(to: copy) { pointer in
            #expect(strlen(cscoreboard_method(pointer)) == 15)
            #expect(strlen(cscoreboard_uri(pointer)) == 127)
            #expect(strlen(cscoreboard_query(pointer)) == 511)
            #expect(strlen(cscoreboard_user(pointer)) == 31)
            #expect(strlen(cscoreboard_script(pointer)) == 255)
        }
    }

    /// A worker that died while it wrote leaves an odd number: readers give up after a few tries.
    @Test func unfinishedTextIsReported() throws {
        let board = try Scoreboard(slotCount: 1)
        cscoreboard_text_begin(board.slot(0))
        var copy = cscoreboard_slot()
        #expect(!cscoreboard_copy(board.slot(0), &copy))
        cscoreboard_text_end(board.slot(0))
        #expect(cscoreboard_copy(board.slot(0), &copy))
    }

    // MARK: - The sequence number

    /// A thread that publishes texts of one letter each, as fast as it can.
    final class Writer: Sendable {
        private let isOver = Atomic(false)
        private let hasEnded = Atomic(false)

        func start(_ board: Scoreboard) {
            nonisolated(unsafe) let slot = board.slot(0)
            Thread { [self] in
                let texts = (0..<26).map { [CChar](repeating: 0x61 + $0, count: 600) }
                for turn in 0... {
                    texts[turn % 26].withUnsafeBufferPointer { buffer in
                        let text = cscoreboard_bytes(text: buffer.baseAddress, length: buffer.count)
                        cscoreboard_publish(slot, text, text, text, text, text)
                    }
                    if isOver.load(ordering: .relaxed) { break }
                }
                hasEnded.store(true, ordering: .sequentiallyConsistent)
            }.start()
        }

        func stop() {
            isOver.store(true, ordering: .sequentiallyConsistent)
            while !hasEnded.load(ordering: .sequentiallyConsistent) { sched_yield() }
        }
    }

    @Test func stableCopyIsOfOneRequest() throws {
        let board = try Scoreboard(slotCount: 1)
        let writer = Writer()
        writer.start(board)
        defer { writer.stop() }
        var copy = cscoreboard_slot()
        var stable = 0
        var letters: Set<CChar> = []
        let deadline = MonotonicTime.now + .seconds(30)
        while stable < 2_000 || letters.count < 3, MonotonicTime.now < deadline {
            guard cscoreboard_copy(board.slot(0), &copy) else { continue }
            stable += 1
            let isOfOneRequest = withUnsafePointer(to: copy) { pointer in
                let letter = cscoreboard_method(pointer)[0]
                letters.insert(letter)
                let ends = [
                    cscoreboard_method(pointer)[14], cscoreboard_uri(pointer)[126],
                    cscoreboard_query(pointer)[510],
                    cscoreboard_user(pointer)[30], cscoreboard_script(pointer)[0],
                    cscoreboard_script(pointer)[254],
                ]
                return ends.allSatisfy { $0 == letter }
            }
            try #require(isOfOneRequest)
        }
        #expect(stable >= 1000)
        #expect(letters.count >= 3, "the writer was at work")
    }
}

/// Durations, and what is left of them when a slot is given away.
@Suite struct HistogramTests {
    @Test(arguments: [
        (Int64.min, 0), (-1, 0), (0, 0), (1, 0), (128, 0), (129, 1), (256, 1), (257, 2), (1_048_576, 13),
        (1_048_577, 14), (134_217_728, 20), (134_217_729, 21), (Int64.max, 21),
    ])
    func buckets(micros: Int64, bucket: Int) { #expect(Int(cscoreboard_bucket(micros)) == bucket) }

    @Test func boundsAreThoseOfTheBuckets() {
        for bucket in 0..<(DurationHistogram.bucketCount - 1) {
            let bound = Int64(DurationHistogram.bound(ofBucket: bucket) ?? 0)
            #expect(Int(cscoreboard_bucket(bound)) == bucket)
            #expect(Int(cscoreboard_bucket(bound + 1)) == bucket + 1)
        }
        #expect(DurationHistogram.bucketCount == Int(CSCOREBOARD_BUCKETS))
        #expect(WorkerExitCause.allCases.count <= Int(CSCOREBOARD_EXIT_CAUSES))
    }

    @Test func durationsOutliveTheirSlot() throws {
        let board = try Scoreboard(slotCount: 2)
        cscoreboard_record(&board.slot(0).pointee.service, 100)
        cscoreboard_record(&board.slot(1).pointee.service, 1000)
        board.clear(0)
        cscoreboard_record(&board.slot(0).pointee.service, 100)
        let service = board.totals().service
        #expect(service.count == 3)
        #expect(service.counts[0] == 2 && service.counts[3] == 1)
        #expect(service.sumMicroseconds == 1200)
    }

    /// What a worker writes is clamped, not believed, and overflows nothing.
    @Test func liesAreClamped() throws {
        let board = try Scoreboard(slotCount: 2)
        for bucket in 0..<UInt32(CSCOREBOARD_BUCKETS) {
            cscoreboard_store(cscoreboard_count(&board.slot(0).pointee.service, bucket), .max)
            cscoreboard_store(cscoreboard_count(&board.slot(1).pointee.service, bucket), .min)
        }
        board.slot(0).pointee.service.sum_us = .max
        board.slot(1).pointee.service.sum_us = -5
        for _ in 0..<3 { board.clear(0) }
        let service = board.totals().service
        #expect(service.counts.allSatisfy { $0 <= 1 << 54 })
        cscoreboard_record(&board.slot(1).pointee.service, .max)
        cscoreboard_record(&board.slot(1).pointee.service, .max)
        _ = board.totals()
    }
}
