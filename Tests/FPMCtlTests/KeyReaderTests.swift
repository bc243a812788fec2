import Testing

@testable import FPMCtl

/// Keys among what a terminal sends.
struct KeyReaderTests {
    private func keys(_ texts: [String]) -> String {
        var reader = KeyReader()
        var found = ""
        for text in texts {
            if text.isEmpty { reader.endSequence() }
            reader.take(text.utf8)
            while let key = reader.next() { found.unicodeScalars.append(Unicode.Scalar(key)) }
        }
        return found
    }

    @Test(
        arguments: [
            (["q"], "q"), (["sp", " q"], "sp q"),
            // Arrows, F1 to F4 (one of which ends in Q), a page key, a mouse report, a modified key.
            (["\u{1b}[A\u{1b}OQs"], "s"), (["\u{1b}[5~p"], "p"), (["\u{1b}[<0;10;20Mq"], "q"),
            (["\u{1b}qs"], "s"),
            // In pieces; the escape key alone, after which nothing comes for a moment.
            (["\u{1b}[", "5", "~q"], "q"), (["\u{1b}", "O", "Q"], ""), (["\u{1b}", "", "q"], "q"),
            (["\u{1b}\u{1b}[Aq"], "q"),
            // Ctrl-C works whatever came before.
            (["\u{1b}[", "\u{3}"], "\u{3}"), (["\u{1b}O\u{1a}q"], "\u{1a}q"),
        ] as [([String], String)]
    )
    func sequencesAreNoKeys(_ texts: [String], _ expected: String) {
        #expect(keys(texts) == expected)
    }
}
