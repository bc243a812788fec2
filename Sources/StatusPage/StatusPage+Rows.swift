/// Rows of tables, as php-fpm's page and the dashboard have them.
extension StatusPage {
    /// A row for each figure of the pool.
    func appendPoolRows(to page: inout [UInt8]) {
        for field in pool.fields(readableTime: true) {
            page.append("<tr><th>")
            page.append(field.name)
            page.append("</th><td>")
            page.append(field.value, .markup)
            page.append("</td></tr>\n")
        }
    }

    /// A row of names, and one for each worker; with these figures.
    func appendRows(
        of processes: [ProcessStatus],
        to page: inout [UInt8],
        where isShown: (Field) -> Bool = { _ in true }
    ) {
        let nameless = ProcessStatus(pid: 0, state: .idle, start: pool.start)
        page.append("<tr>")
        for field in nameless.fields(readableTime: true) where isShown(field) {
            page.append("<th>")
            page.append(field.name)
            page.append("</th>")
        }
        page.append("</tr>\n")
        for process in processes {
            page.append("<tr>")
            for field in process.fields(readableTime: true) where isShown(field) {
                page.append("<td>")
                page.append(field.value, .markup)
                page.append("</td>")
            }
            page.append("</tr>\n")
        }
    }
}
