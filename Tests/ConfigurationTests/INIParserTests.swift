import Testing

@testable import Configuration

/// Lines and what PHP 8.2's own parser makes of them.
@Suite struct INIParserTests {
    @Test(arguments: [
        ("a = 1", "1"), ("a=", ""), ("a = x  y  ; c", "x  y"), ("a = \"x;y\" z", "x;yz"),
        ("a = 'x' 'y'", "x y"),
        ("a = On", "1"), ("a = NONE ; c", ""), ("a = null", ""), ("a = onx", "onx"), ("a = E_ALL", "32767"),
        ("a = x E_ALL y", "x 32767 y"), ("a = E_ALL & ~7", "32760"), ("a = 1 | 2 & 2", "2"),
        ("a = !0 | 4", "5"),
        ("a = (1 | 2) ^ 1", "2"), ("a = ~~1", "1"), ("a = \"\\\"\\\\\\$\\n\"", "\"\\$\\n"),
        ("a = \"C:\\dir\\\"", "C:\\dir\\"), ("a = $b", "$b"), ("a = {b}", "{b}"),
        ("a = '${HOME}'", "${HOME}"),
        ("a = x${HOME}y", "x/hy"), ("a = \"x${HOME}y\"", "x/hy"), ("a = \\${HOME}", "\\/h"),
        ("a = $${HOME}", "$${HOME}"), ("a = ${ HOME }", "/h"), ("a = ${NONE}", ""), ("a = x'", "x"),
        ("\u{FEFF}a = 1", "1"), ("a = 1\r", "1"), ("  a\t=\t1", "1"), ("a = $", "$\n"),
        ("a = x$\\$", "x$\\$\n"),
        ("a = 99999999999 | 0", "1215752191"),
    ])
    func evaluates(_ line: String, _ value: String) {
        #expect(events(line) == ["a=\(value)"])
    }

    @Test(arguments: [
        ("[x]", ["[x]"]), ("[a b] ; c", ["[a b]"]), ("[\"x;y\"]", ["[x;y]"]), ("[E_ALL]", ["[E_ALL]"]),
        ("[]", ["[]"]), ("[${HOME}]", ["[/h]"]), ("[x] a=1", ["[x]", "a=1"]), ("a", ["a!"]),
        ("a ; b=1", ["a!"]),
        ("# a = b", ["# a=b"]), ("a[k] = 1", ["a[k]=1"]), ("a[] = 1", ["a[]=1"]),
        ("a[E_ALL] = 1", ["a[32767]=1"]),
        ("a['k;l'] = 1", ["a[k;l]=1"]), ("a[k=l] = 1", ["a[k=l]=1"]), ("", []), ("; x", []), ("\t ", []),
        ("a=1\rb=2", ["a=1", "b=2"]), ("a = ''", ["a=", "'!"]),
    ])
    func delivers(_ line: String, _ expected: [String]) {
        #expect(events(line) == expected)
    }

    @Test(arguments: [
        ("a = b=c", ["a=b", "syntax error, unexpected '=' @1"]),
        ("a (", ["a!", "syntax error, unexpected '(' @1"]),
        (
            "a = \"x",
            ["syntax error, unexpected end of file, expecting TC_DOLLAR_CURLY or TC_QUOTED_STRING or '\"' @2"]
        ),
        ("a = (1", ["syntax error, unexpected END_OF_LINE, expecting '^' or '|' or '&' or ')' @2"]),
        ("[x", ["syntax error, unexpected end of file, expecting ']' @1"]),
        ("a[b]", ["syntax error, unexpected END_OF_LINE, expecting '=' @2"]),
        ("a[b] c", ["syntax error, unexpected TC_LABEL, expecting '=' @1"]),
        ("a = ${", ["syntax error, unexpected end of file, expecting TC_VARNAME @1"]),
        ("a = ${x", ["syntax error, unexpected end of file, expecting '}' @1"]),
        ("a = on x", ["a=1", "syntax error, unexpected TC_CONSTANT @1"]),
        ("a = x on", ["a=x ", "syntax error, unexpected BOOL_TRUE @1"]),
        ("on = 1", ["syntax error, unexpected BOOL_TRUE @1"]),
        ("a = ~", ["syntax error, unexpected END_OF_LINE @2"]),
        ("{a} = 1", ["syntax error, unexpected '{' @1"]),
        ("[a]=1", ["[a]", "syntax error, unexpected '=' @2"]),
    ])
    func reportsSyntaxErrors(_ line: String, _ expected: [String]) {
        #expect(events(line) == expected)
    }

    @Test func survivesDeepNesting() {
        let depth = 100_000
        let line = "a = " + String(repeating: "(", count: depth) + "1" + String(repeating: ")", count: depth)
        #expect(events(line) == ["a=1"])
    }

    private func events(_ line: String) -> [String] {
        let host = FakeHost()
        host.environment["HOME"] = "/h"
        var result: [String] = []
        var parser = INIParser(Array((line + "\n").utf8)[...], host: host)
        do throws(INISyntaxError) {
            try parser.parse { event in
                switch event {
                case .section(let name): result.append("[\(name)]")
                case .entry(let name, nil): result.append("\(name)!")
                case .entry(let name, let value?): result.append("\(name)=\(value)")
                case .arrayEntry(let name, let key, let value): result.append("\(name)[\(key)]=\(value)")
                }
            }
        } catch {
            result.append("\(error.message) @\(error.line)")
        }
        return result
    }
}
