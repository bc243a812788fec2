import Channel
import Control
import Foundation
import Reactor
import Syscalls
import Testing

@testable import Master

/// Lists of scripts that workers have written; they may have written anything.
@Suite struct ScriptPagesTests {
    private func page(_ paths: [String], more: Bool = true) -> String {
        let scripts = paths.map {
            #"{"full_path":"\#($0)","hits":1,"memory_consumption":2,"last_used_timestamp":3}"#
        }
        return #"{"total":9,"more":\#(more),"scripts":[\#(scripts.joined(separator: ","))]}"# + "\n"
    }

    private func pages(_ text: String, after cursor: String) throws -> ScriptPages {
        var bytes = Array(text.utf8)
        return try #require(
            try ScriptPages(bytes.withUnsafeMutableBytes { try BytesFile.make(.init($0)) }, after: cursor)
        )
    }

    @Test func pagesComeInTheirOrder() throws {
        let lists = ScriptLists(reactor: try Reactor())
        let text = page(["/b", "/c"]) + page(["/d"], more: false)
        lists.keep(try pages(text, after: "/a"))
        lists.keep(try pages(text, after: "/a"))
        #expect(lists.page(after: "/x") == nil)
        #expect(lists.page(after: "/a")?.scripts.map(\.path) == ["/b", "/c"])
        // The other reader's.
        #expect(lists.page(after: "/a")?.scripts.map(\.path) == ["/b", "/c"])
        #expect(lists.page(after: "/a") == nil)
        #expect(lists.page(after: "/c")?.hasMore == false)
        #expect(lists.page(after: "/c")?.hasMore == false)
        #expect(lists.page(after: "/c") == nil && lists.page(after: "/d") == nil)
    }

    @Test func onlyTheLastOnesAreKept() throws {
        let lists = ScriptLists(reactor: try Reactor())
        for number in 1...5 { lists.keep(try pages(page(["/p"]), after: "/\(number)")) }
        #expect(lists.page(after: "/1") == nil)
        for number in 2...5 { #expect(lists.page(after: "/\(number)") != nil) }
    }

    @Test(arguments: [
        "", "x", "\n", "{}\n", #"{"total":1,"more":true,"scripts":[]}"# + "\n", #"{"total":1"#,
        String(repeating: " ", count: 50 << 10) + "{}\n",
        "[" + String(repeating: "1,", count: 5000) + "1]\n",
    ]) func nonsenseEndsTheList(_ text: String) throws {
        let lists = ScriptLists(reactor: try Reactor())
        lists.keep(try pages(text, after: "/a"))
        #expect(lists.page(after: "/a") == nil)
        #expect(lists.page(after: "/a") == nil)
    }

    @Test func onlySealedFiles() throws {
        #expect(ScriptPages(try BytesFile.makeEmpty(), after: "/a") == nil)
        #expect(
            ScriptPages(SharedDescriptor(adopting: open("/dev/null", O_RDONLY | O_CLOEXEC)), after: "/a")
                == nil
        )
    }
}
