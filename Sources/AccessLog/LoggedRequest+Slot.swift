public import CScoreboard

extension LoggedRequest {
    /// What a worker's slot says of its request: the texts, and the body's length; the rest is to be set.
    ///
    /// - Parameter slot: The worker's own, or a copy (`cscoreboard_copy`), whose texts end.
    public init(of slot: UnsafeMutablePointer<cscoreboard_slot>) {
        self.init()
        method = Self.bytes(cscoreboard_method(slot))
        uri = Self.bytes(cscoreboard_uri(slot))
        query = Self.bytes(cscoreboard_query(slot))
        user = Self.bytes(cscoreboard_user(slot))
        script = Self.bytes(cscoreboard_script(slot))
        contentLength = max(0, slot.pointee.content_length)
    }

    private static func bytes(_ text: UnsafePointer<CChar>) -> [UInt8] {
        var count = 0
        while text[count] != 0 { count += 1 }
        return Array(UnsafeRawBufferPointer(start: text, count: count))
    }
}
