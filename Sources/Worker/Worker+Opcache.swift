internal import CPHP
internal import Channel
internal import Syscalls

/// What the operator asks of the opcache, which the pool's workers share.
extension Worker {
    private static let longestAnswer = 128 << 10
    private static let actions = [
        FPMD_OPCACHE_STATUS, FPMD_OPCACHE_RESET, FPMD_OPCACHE_INVALIDATE, FPMD_OPCACHE_SCRIPTS,
    ]

    /// Does what the message says, between two requests, and sends back what PHP said.
    func answerOpcache(_ order: Message, _ file: UnsafeRawBufferPointer) {
        let action = fpmd_opcache_action(rawValue: UInt32(order.flags.rawValue))
        guard Self.actions.contains(action) else {
            return
        }
        var path = file.map { CChar(bitPattern: $0) }
        path.append(0)
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: Self.longestAnswer) { buffer in
            guard let base = buffer.baseAddress else { return }
            let room =
                action == FPMD_OPCACHE_SCRIPTS ? Int(FPMD_OPCACHE_SCRIPTS_CAPACITY) : buffer.count
            let by = fpmd_opcache_order(rawValue: UInt32(truncatingIfNeeded: order.value))
            // All pages of a list at once, as PHP makes the whole list anew for each.
            let pages =
                action == FPMD_OPCACHE_SCRIPTS && by == FPMD_OPCACHE_BY_PATH
                ? try? BytesFile.makeEmpty() : nil
            let length = fpmd_php_opcache(action, path, by, base, room, pages?.rawValue ?? -1)
            let answer = Message(
                .opcacheDone,
                slot: order.slot,
                serial: order.serial,
                value: UInt64(max(0, -length))
            )
            let bytes = UnsafeRawBufferPointer(start: base, count: max(0, length))
            var descriptors: [CInt] = []
            if length > 0, let pages, (try? BytesFile.seal(pages)) != nil,
                let size = BytesFile.size(pages.rawValue), size > 0
            {
                descriptors = [pages.rawValue]
            }
            // A master that takes no message now gives up waiting by itself.
            _ = try? channel.send(answer, payload: bytes, descriptors: descriptors)
        }
    }
}
