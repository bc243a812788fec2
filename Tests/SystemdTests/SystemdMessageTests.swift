import Testing

@testable import Master

@Suite("Messages to systemd")
struct SystemdMessageTests {
    @Test("Life cycle")
    func lifeCycle() {
        #expect(SystemdMessage.ready(process: "7", status: "Fine") == "READY=1\nSTATUS=Fine\nMAINPID=7")
        #expect(
            SystemdMessage.reloading(at: 1_500_000) == "RELOADING=1\nMONOTONIC_USEC=1500000\nSTATUS=Reloading"
        )
        #expect(SystemdMessage.stopping.hasPrefix("STOPPING=1\n"))
        #expect(SystemdMessage.extend(by: .seconds(30)) == "EXTEND_TIMEOUT_USEC=30000000")
        #expect(SystemdMessage.store("x") == "FDSTORE=1\nFDNAME=x\nFDPOLL=0")
        #expect(SystemdMessage.remove("x") == "FDSTOREREMOVE=1\nFDNAME=x")
    }

    @Test("A reason cannot add a line")
    func refused() {
        let text = SystemdMessage.reloadRefused("bad\nMAINPID=1")
        #expect(text.split(separator: "\n").count == 2)
        #expect(text.hasPrefix("READY=1\nSTATUS=Reload refused"))
    }

    @Test("The status line ends no reload, whatever the figures are")
    func status() {
        var figures = SystemdMessage.Figures()
        (figures.active, figures.idle, figures.requests, figures.slow) = (1, 2, 130, 4)
        let text = SystemdMessage.status(figures, requestsBefore: 30, interval: .seconds(8))
        #expect(
            text
                == "STATUS=Processes active: 1, idle: 2, Requests: 130, slow: 4, Traffic: 12.50req/sec"
        )
        figures.requests = .min
        #expect(
            SystemdMessage.status(figures, requestsBefore: .max, interval: .zero).hasSuffix("0.00req/sec")
        )
    }
}
