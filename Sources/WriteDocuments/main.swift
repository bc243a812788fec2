// Prints one of the documents that are made from the directive table: what scripts/generate writes to files.
// Usage: write-documents NAME, or without a name the list of names and paths.
internal import DirectiveDocuments

if let document = CommandLine.arguments.dropFirst().first.flatMap({ DirectiveDocument(rawValue: $0) }) {
    print(document.text, terminator: "")
} else {
    for document in DirectiveDocument.allCases { print(document.rawValue, document.path) }
}
