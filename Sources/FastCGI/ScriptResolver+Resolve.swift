extension ScriptResolver {
    /// Computes script path and request URI, changing the parameters as PHP does.
    ///
    /// The usual request, whose SCRIPT_FILENAME exists, costs one call of `exists` and no allocation. Both
    /// closures get a path that is followed by a NUL in memory.
    ///
    /// - Parameters:
    ///   - table: The request's parameters.
    ///   - exists: Whether the path can be resolved to anything that exists, as realpath(3) does.
    ///   - isRegularFile: Whether the path is a regular file, symbolic links followed.
    /// - Returns: What was found; the table has changed accordingly.
    public func resolve(
        _ table: inout ParameterTable,
        exists: (Span<UInt8>) -> Bool,
        isRegularFile: (Span<UInt8>) -> Bool
    ) -> Resolution {
        var scriptFilename = table.value(of: "SCRIPT_FILENAME")
        let pathTranslated = table.value(of: "PATH_TRANSLATED")
        guard scriptFilename != nil || pathTranslated != nil else {
            return Resolution(scriptPath: nil, requestURI: nil, initialStatus: 200, hasScriptParameter: false)
        }
        stripScriptName(&table)
        let isApache = stripProxyScheme(&table, &scriptFilename)

        var resolution = Resolution(
            scriptPath: nil,
            requestURI: nil,
            initialStatus: 200,
            hasScriptParameter: true
        )
        if settings.fixPathinfo {
            var request = FixedPathinfo(
                table: table,
                isApache: isApache,
                scriptFilename: scriptFilename,
                pathTranslated: pathTranslated
            )
            request.resolve(&table, settings, exists: exists, isRegularFile: isRegularFile)
            resolution.scriptPath = request.scriptPath
            resolution.requestURI = request.requestURI
            if request.scriptPath == nil { resolution.initialStatus = 404 }
        } else {
            resolution.requestURI = table.value(of: "PATH_INFO") ?? table.value(of: "SCRIPT_NAME")
            let translated = settings.discardPath ? nil : pathTranslated
            resolution.scriptPath = translated ?? scriptFilename ?? pathTranslated
        }
        // php-fpm takes an empty path as far as opening it, and its worker exits there.
        if let path = resolution.scriptPath,
            path.length == 0 || table.withBytes(of: path, { $0.hasParentComponent })
        {
            resolution.scriptPath = nil
        }
        return resolution
    }

    /// Microsoft IIS puts SCRIPT_NAME in front of PATH_INFO.
    private func stripScriptName(_ table: inout ParameterTable) {
        guard let pathInfo = table.value(of: "PATH_INFO"), let scriptName = table.value(of: "SCRIPT_NAME"),
            pathInfo.length >= scriptName.length,
            table.areEqual(Slice(offset: pathInfo.offset, length: scriptName.length), scriptName),
            let software = table.value(of: "SERVER_SOFTWARE"),
            table.withBytes(of: software, { $0.starts(with: "Microsoft-IIS") })
        else { return }
        table.set("ORIG_PATH_INFO", to: pathInfo)
        if pathInfo.length > scriptName.length {
            table.set("PATH_INFO", to: pathInfo.dropFirst(Int(scriptName.length)))
        } else {
            table.remove("PATH_INFO")
        }
    }

    /// Apache's mod_proxy_fcgi sends a URL as SCRIPT_FILENAME.
    ///
    /// - Returns: Whether scheme and host were found and removed.
    private func stripProxyScheme(_ table: inout ParameterTable, _ scriptFilename: inout Slice?) -> Bool {
        guard var url = scriptFilename else { return false }
        let start: Int? = table.withBytes(of: url) { url in
            if url.starts(with: "proxy:fcgi://", ignoringCase: true) { return 13 }
            return url.starts(with: "proxy:balancer://", ignoringCase: true) ? 17 : nil
        }
        guard let start else { return false }
        let slash = table.withBytes(of: url) { $0.firstIndex(of: UInt8(ascii: "/"), from: start) }
        if let slash { url = url.dropFirst(slash) }
        if let query = table.withBytes(of: url, { $0.firstIndex(of: UInt8(ascii: "?")) }) {
            url = table.cut(url, to: query)
        }
        table.set("SCRIPT_FILENAME", to: url)
        scriptFilename = url
        return slash != nil
    }
}

extension ParameterTable {
    /// Whether two strings are the same.
    func areEqual(_ left: Slice, _ right: Slice) -> Bool {
        arena.withSpan(left) { left in arena.withSpan(right) { right in left.holdsSameBytes(as: right) } }
    }

    /// The first `length` bytes of a string that nothing else refers to, ended in place.
    mutating func cut(_ slice: Slice, to length: Int) -> Slice {
        arena[Int(slice.offset) + length] = 0
        return Slice(offset: slice.offset, length: UInt32(length))
    }

    /// A copy of the first `length` bytes of a string.
    mutating func copyPrefix(_ slice: Slice, _ length: Int) -> Slice {
        precondition(length <= Int(slice.length))
        return arena.append(Slice(offset: slice.offset, length: UInt32(length)))
    }
}

extension Span<UInt8> {
    /// Whether one of the components between slashes is `..`.
    var hasParentComponent: Bool {
        let slash = UInt8(ascii: "/")
        var position = 0
        while let dot = firstIndex(of: UInt8(ascii: "."), from: position) {
            position = dot + 1
            guard dot == 0 || self[dot - 1] == slash, dot + 1 < count, self[dot + 1] == UInt8(ascii: ".")
            else { continue }
            if dot + 2 == count || self[dot + 2] == slash { return true }
        }
        return false
    }
}
