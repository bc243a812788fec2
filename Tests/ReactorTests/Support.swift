import CEpoll
import Foundation
import Reactor
import Syscalls
import SystemPackage
import Testing

/// How long a test waits for what should happen at once, on a slow and busy machine.
let patience: Duration = .seconds(20)

extension Reactor {
    /// Turns until `condition` holds; a test that waits in vain fails instead of hanging.
    func turn(until condition: () -> Bool) throws {
        let end = MonotonicTime.now + patience
        while !condition() {
            try #require(MonotonicTime.now < end, "waited in vain")
            try turn(limit: .milliseconds(500))
        }
    }
}

/// A pipe whose reading end does not block; each end is closed with the object that holds it.
struct Pipe {
    let readEnd: SharedDescriptor
    let writeEnd: SharedDescriptor

    init() throws {
        var ends: [CInt] = [-1, -1]
        guard cepoll_pipe(&ends) == 0 else { throw currentErrno }
        readEnd = SharedDescriptor(adopting: ends[0])
        writeEnd = SharedDescriptor(adopting: ends[1])
    }

    var number: CInt { readEnd.rawValue }

    func fill() { _ = write(writeEnd.rawValue, "x", 1) }

    func drain() {
        var byte: UInt8 = 0
        while Glibc.read(number, &byte, 1) == 1 {}
    }
}
