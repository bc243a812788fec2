/// The answer to a request that is not served.
enum ServiceUnavailable {
    /// The records of a 503 that asks the client to come again after `retryAfter` seconds.
    static func response(requestID: UInt16, retryAfter: Int) -> [UInt8] {
        let page = """
            Status: 503 Service Unavailable\r
            Retry-After: \(retryAfter)\r
            Content-type: text/html; charset=UTF-8\r
            \r
            The service is overloaded.\n
            """
        return framedResponse(Array(page.utf8), requestID: requestID)
    }
}
