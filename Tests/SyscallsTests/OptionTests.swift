import Testing

/// php-fpm's command-line grammar.
@Suite struct OptionTests {
    struct Line: CustomTestStringConvertible {
        var words: [String]
        var expected: [String]
        init(_ words: [String], _ expected: [String]) {
            self.words = words
            self.expected = expected
        }
        var testDescription: String { words.joined(separator: " ") }
    }

    @Test(arguments: [
        Line([], ["end 0"]),
        // The forms of an argument.
        Line(["-c", "x"], ["c=x", "end 0"]), Line(["-cx"], ["c=x", "end 0"]),
        Line(["-c=x"], ["c=x", "end 0"]),
        Line(["--php-ini", "x"], ["c=x", "end 0"]), Line(["--php-ini=x"], ["c=x", "end 0"]),
        Line(["-c", "-v"], ["c=-v", "end 0"]), Line(["-c="], ["c=", "end 0"]),
        Line(["--php-ini="], ["c=", "end 0"]),
        // A word of its own is taken as it is, an equals sign of the value as well.
        Line(["-c", "=x"], ["c==x", "end 0"]), Line(["--php-ini", "=x"], ["c==x", "end 0"]),
        Line(["-c", ""], ["c=", "end 0"]),
        Line(["-dfoo=bar"], ["d=foo=bar", "end 0"]), Line(["-d", "foo=bar"], ["d=foo=bar", "end 0"]),
        Line(["-d=foo=bar"], ["d=foo=bar", "end 0"]), Line(["--define=foo=bar"], ["d=foo=bar", "end 0"]),
        // Flags combine; an argument ends the word.
        Line(["-nt"], ["n", "t", "end 0"]), Line(["-tt"], ["t", "t", "end 0"]),
        Line(["-t", "-t"], ["t", "t", "end 0"]),
        Line(["-ncx"], ["n", "c=x", "end 0"]), Line(["-nc", "x"], ["n", "c=x", "end 0"]),
        Line(["-nc", "=x"], ["n", "c==x", "end 0"]),
        // Long names are complete; a value that a flag does not take is dropped.
        Line(["--test"], ["t", "end 0"]), Line(["--test=3"], ["t", "end 0"]),
        Line(["--test", "3"], ["t", "end 1"]),
        Line(["--tes"], ["bad"]), Line(["--vers"], ["bad"]), Line(["--no"], ["bad"]),
        Line(["--php-in=x"], ["bad"]),
        Line(["--tests"], ["bad"]), Line(["--unknown"], ["bad"]), Line(["---test"], ["bad"]),
        // One dash is for letters.
        Line(["-test"], ["t", "bad"]), Line(["-t=3"], ["t", "bad"]),
        // Help has two letters, one of which getopt uses for itself.
        Line(["-?"], ["?", "end 0"]), Line(["--usage"], ["?", "end 0"]), Line(["-h"], ["h", "end 0"]),
        Line(["-n?"], ["n", "?", "end 0"]), Line(["-?v"], ["?", "v", "end 0"]),
        // Unknown letters and missing arguments.
        Line(["-Z"], ["bad"]), Line(["-vZ"], ["v", "bad"]), Line(["-c"], ["bad"]),
        Line(["-nc"], ["n", "bad"]),
        Line(["--php-ini"], ["bad"]), Line(["-:"], ["bad"]),
        // Where options end.
        Line(["x", "-v"], ["end 2"]), Line(["-v", "x"], ["v", "end 1"]), Line(["-"], ["end 1"]),
        Line(["--", "-v"], ["end 1"]), Line(["-n", "--"], ["n", "end 0"]),
        Line(["-n", "--", "x"], ["n", "end 1"]),
    ])
    func wordsAreRead(line: Line) throws {
        #expect(try Helper.run(["options"] + line.words) == line.expected)
    }
}
