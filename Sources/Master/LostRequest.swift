/// The answer to a request whose worker is dead.
enum LostRequest {
    /// The records of a 500, or of a 504 for a request that took too long.
    static func response(requestID: UInt16, tookTooLong: Bool) -> [UInt8] {
        let status = tookTooLong ? "504 Gateway Timeout" : "500 Internal Server Error"
        let text = tookTooLong ? "The script took too long." : "The script ended unexpectedly."
        let page = "Status: \(status)\r\nContent-type: text/html; charset=UTF-8\r\n\r\n\(text)\n"
        return framedResponse(Array(page.utf8), requestID: requestID)
    }
}
