/// One request's way through `cgi.fix_pathinfo = 1`.
struct FixedPathinfo {
    private let isApache: Bool
    private let scriptFilename: Slice?
    private let pathTranslated: Slice?
    private let originalScriptName: Slice?
    private var scriptName: Slice?
    private var pathInfo: Slice?
    /// The path that is looked for.
    private var path: Slice
    private(set) var scriptPath: Slice?
    private(set) var requestURI: Slice?

    /// Collects what the decision depends on; one of `scriptFilename` and `pathTranslated` is there.
    init(table: borrowing ParameterTable, isApache: Bool, scriptFilename: Slice?, pathTranslated: Slice?) {
        self.isApache = isApache
        self.scriptFilename = scriptFilename
        self.pathTranslated = pathTranslated
        originalScriptName = table.value(of: "SCRIPT_NAME")
        scriptName = originalScriptName
        pathInfo = table.value(of: "PATH_INFO")
        path = scriptFilename ?? pathTranslated ?? Slice(offset: 0, length: 0)
    }

    /// Decides and changes the parameters.
    mutating func resolve(
        _ table: inout ParameterTable,
        _ settings: ScriptResolver.Settings,
        exists: (Span<UInt8>) -> Bool,
        isRegularFile: (Span<UInt8>) -> Bool
    ) {
        if !settings.documentRoot.isEmpty, table.value(of: "DOCUMENT_ROOT") == nil {
            table.set("DOCUMENT_ROOT", to: settings.documentRoot.span)
        }
        let redirectURL = isApache ? nil : table.value(of: "REDIRECT_URL")
        // An Action of Apache's old mod_fastcgi: PATH_TRANSLATED is the script's, SCRIPT_NAME the handler's.
        if let redirectURL, let pathTranslated, !table.areEqual(pathTranslated, path) {
            path = pathTranslated
            scriptName = redirectURL
        }
        let isPlain = table.withBytes(of: path) { path in
            path.isEmpty || (path[path.count - 1] != UInt8(ascii: "/") && exists(path))
        }
        if isPlain {
            adoptPath(&table, redirected: redirectURL != nil)
        } else if let length = scriptLength(&table, isRegularFile) {
            split(&table, at: length)
        } else {
            if let scriptFilename { table.set("ORIG_SCRIPT_FILENAME", to: scriptFilename) }
            table.remove("SCRIPT_FILENAME")
        }
        if requestURI == nil { adoptScriptName(&table, exists: isPlain) }
    }

    /// The path names something that exists: it is the script.
    private mutating func adoptPath(_ table: inout ParameterTable, redirected: Bool) {
        adoptScriptFilename(&table, path)
        scriptPath = path
        guard redirected else { return }
        if let pathInfo {
            table.set("ORIG_PATH_INFO", to: pathInfo)
            table.remove("PATH_INFO")
        }
        if let pathTranslated {
            table.set("ORIG_PATH_TRANSLATED", to: pathTranslated)
            table.remove("PATH_TRANSLATED")
        }
    }

    /// Cuts the path at its slashes from the end until a regular file remains.
    ///
    /// - Returns: Length of that file's path.
    private func scriptLength(_ table: inout ParameterTable, _ isRegularFile: (Span<UInt8>) -> Bool) -> Int? {
        var rest = table.arena.append(path)
        let scratch = rest
        defer { table.arena.removeLast(scratch) }
        var separator = UInt8(ascii: "/")
        while true {
            guard let cut = table.withBytes(of: rest, { $0.lastIndex(of: separator) }) else {
                // What is left has no slash, and gets none: nobody need look again.
                guard separator == UInt8(ascii: "/") else { return nil }
                separator = UInt8(ascii: "\\")
                continue
            }
            rest = table.cut(rest, to: cut)
            if cut > 0, table.withBytes(of: rest, isRegularFile) { return cut }
        }
    }

    /// The first `length` bytes of the path are the script, the rest is path information.
    private mutating func split(_ table: inout ParameterTable, at length: Int) {
        let script = table.copyPrefix(path, length)
        let tail = path.dropFirst(length)
        splitPathInfo(&table, tail)
        if scriptFilename.map({ table.areEqual($0, script) }) != true {
            adoptScriptFilename(&table, script)
            scriptPath = script
        } else {
            scriptPath = path
        }
        setPathTranslated(&table, script)
    }

    private mutating func splitPathInfo(_ table: inout ParameterTable, _ tail: Slice) {
        let oldPathInfo = pathInfo
        let candidate: Slice
        if isApache {
            if let oldPathInfo, table.areEqual(oldPathInfo, tail) { return }
            candidate = tail
        } else {
            // CVE-2019-11043: the tail can be longer than what PATH_INFO holds.
            guard let oldPathInfo, oldPathInfo.length > tail.length else { return }
            candidate = oldPathInfo.dropFirst(Int(oldPathInfo.length - tail.length))
        }
        if let oldPathInfo {
            table.set("ORIG_PATH_INFO", to: oldPathInfo)
            // Apache's candidate is no part of PATH_INFO, so nothing is cut off.
            let kept = isApache ? oldPathInfo.length : oldPathInfo.length - candidate.length
            let front = table.copyPrefix(oldPathInfo, Int(kept))
            if originalScriptName.map({ table.areEqual($0, front) }) != true {
                if let originalScriptName { table.set("ORIG_SCRIPT_NAME", to: originalScriptName) }
                table.set("SCRIPT_NAME", to: front)
            }
            requestURI = front
        } else if isApache, let name = scriptName, let kept = lengthBeforeTail(table, name, tail) {
            table.set("ORIG_SCRIPT_NAME", to: name)
            let shortened = table.copyPrefix(name, kept)
            table.set("SCRIPT_NAME", to: shortened)
            scriptName = shortened
            requestURI = shortened
        }
        table.set("PATH_INFO", to: candidate)
        pathInfo = candidate
    }

    /// How much of `name` remains when it ends in `tail`, as it is or percent-decoded; nil if it does not.
    private func lengthBeforeTail(_ table: borrowing ParameterTable, _ name: Slice, _ tail: Slice) -> Int? {
        table.withBytes(of: name) { name in
            let raw = table.bytes(of: tail)
            if name.count > raw.count, name.extracting(last: raw.count).holdsSameBytes(as: raw.span) {
                return name.count - raw.count
            }
            let decoded = percentDecoded(raw)
            guard name.count > decoded.count,
                name.extracting(last: decoded.count).holdsSameBytes(as: decoded.span)
            else { return nil }
            return name.count - decoded.count
        }
    }

    /// PATH_TRANSLATED becomes what PATH_INFO means as a file below the document root.
    private mutating func setPathTranslated(_ table: inout ParameterTable, _ script: Slice) {
        let base: Slice
        if let root = table.value(of: "DOCUMENT_ROOT") {
            let endsInSlash = table.withBytes(of: root) {
                !$0.isEmpty && $0[$0.count - 1] == UInt8(ascii: "/")
            }
            base = Slice(offset: root.offset, length: root.length - (endsInSlash ? 1 : 0))
        } else if let scriptName, table.contains(script, scriptName) {
            base = Slice(offset: script.offset, length: script.length - scriptName.length)
        } else {
            return
        }
        if let pathTranslated { table.set("ORIG_PATH_TRANSLATED", to: pathTranslated) }
        let info = pathInfo ?? Slice(offset: base.offset, length: 0)
        let translated = table.arena.append(base, info)
        table.set("PATH_TRANSLATED", to: translated)
    }

    /// SCRIPT_FILENAME becomes `path`, if it is not already.
    private func adoptScriptFilename(_ table: inout ParameterTable, _ path: Slice) {
        if let scriptFilename {
            if scriptFilename == path || table.areEqual(scriptFilename, path) { return }
            table.set("ORIG_SCRIPT_FILENAME", to: scriptFilename)
        }
        table.set("SCRIPT_FILENAME", to: path)
    }

    /// The request URI is SCRIPT_NAME, or REDIRECT_URL in its place.
    private mutating func adoptScriptName(_ table: inout ParameterTable, exists: Bool) {
        requestURI = scriptName
        guard let scriptName, scriptName != originalScriptName else { return }
        if let originalScriptName {
            // After a search an equal name is no change; for a path that exists it counts as one.
            if !exists, table.areEqual(originalScriptName, scriptName) { return }
            table.set("ORIG_SCRIPT_NAME", to: originalScriptName)
        }
        table.set("SCRIPT_NAME", to: scriptName)
    }
}

extension ParameterTable {
    /// Whether `part` occurs in `whole`.
    fileprivate func contains(_ whole: Slice, _ part: Slice) -> Bool {
        arena.withSpan(whole) { whole in arena.withSpan(part) { part in whole.contains(part) } }
    }
}

/// Replaces `%XX` by the byte; anything else stays, `+` too.
private func percentDecoded(_ text: [UInt8]) -> [UInt8] {
    var decoded: [UInt8] = []
    var position = 0
    while position < text.count {
        if text[position] == UInt8(ascii: "%"), position + 2 < text.count,
            let high = text[position + 1].hexValue, let low = text[position + 2].hexValue
        {
            decoded.append(high << 4 | low)
            position += 3
        } else {
            decoded.append(text[position])
            position += 1
        }
    }
    return decoded
}

extension UInt8 {
    fileprivate var hexValue: UInt8? {
        switch self {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): self - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): self - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): self - UInt8(ascii: "A") + 10
        default: nil
        }
    }
}
