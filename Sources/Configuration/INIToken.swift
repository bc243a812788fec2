/// A token of PHP's INI language in its normal mode.
enum INIToken: Hashable, Sendable {
    /// `[` at the start of a section header.
    case section
    /// The name of an entry.
    case label(ByteString)
    /// The name of an array entry, up to and including its `[`.
    case offset(ByteString)
    /// An identifier that may be a constant.
    case constant(ByteString)
    /// Single-quoted text without its quotes.
    case raw(ByteString)
    /// A number.
    case number(ByteString)
    /// Any other unquoted text.
    case string(ByteString)
    /// Blanks between two parts of a value.
    case whitespace(ByteString)
    /// A piece of double-quoted text, escapes already replaced.
    case quoted(ByteString)
    /// `${`.
    case dollarCurly
    /// The name after `${`.
    case variableName(ByteString)
    /// `true`, `on`, `yes`.
    case booleanTrue
    /// `false`, `off`, `no`, `none`.
    case booleanFalse
    /// `null`.
    case null
    /// A single character with a meaning, e.g. `=`, `]`, `|`, `"`.
    case character(UInt8)
    /// The end of a statement.
    case endOfLine
    /// The end of the text, or a character that no rule accepts.
    case end

    /// The name in PHP's `syntax error, unexpected …`.
    var name: ByteString {
        switch self {
        case .section: "TC_SECTION"
        case .label: "TC_LABEL"
        case .offset: "TC_OFFSET"
        case .constant: "TC_CONSTANT"
        case .raw: "TC_RAW"
        case .number: "TC_NUMBER"
        case .string: "TC_STRING"
        case .whitespace: "TC_WHITESPACE"
        case .quoted: "TC_QUOTED_STRING"
        case .dollarCurly: "TC_DOLLAR_CURLY"
        case .variableName: "TC_VARNAME"
        case .booleanTrue: "BOOL_TRUE"
        case .booleanFalse: "BOOL_FALSE"
        case .null: "NULL_NULL"
        case .character(let byte): ByteString([UInt8(ascii: "'"), byte, UInt8(ascii: "'")])
        case .endOfLine: "END_OF_LINE"
        case .end: "end of file"
        }
    }
}
