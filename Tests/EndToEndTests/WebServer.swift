import Foundation
import TestSupport
import Testing

/// An nginx with a configuration of its own on a loopback port.
final class WebServer {
    let port: UInt16
    let directory: String
    private let process: ChildProcess

    /// Starts nginx in front of a daemon.
    ///
    /// - Parameters:
    ///   - upstream: What `fastcgi_pass` gets: `unix:PATH` or `ADDRESS:PORT`.
    ///   - root: The document root.
    ///   - keepsConnections: Whether it keeps connections to the daemon open.
    /// - Throws: `TestFailure` with nginx's complaints when it does not come up.
    init(upstream: String, root: String, keepsConnections: Bool) throws {
        port = try Ports.unused()
        directory = try TestContext.required().makeDirectory("nginx")
        try Self.configuration(
            port: port,
            directory: directory,
            upstream: upstream,
            root: root,
            keepsConnections: keepsConnections
        ).write(toFile: directory + "/nginx.conf", atomically: false, encoding: .utf8)
        let output = directory + "/output"
        process = try ChildProcess(
            ["nginx", "-p", directory, "-c", directory + "/nginx.conf", "-e", directory + "/error.log"],
            environment: baseEnvironment,
            output: output,
            errors: output
        )
        do {
            try wait(for: "nginx to listen") {
                if !process.isRunning { throw TestFailure("nginx ended") }
                return (try? FastCGIConnection(.tcp("127.0.0.1", port))) != nil
            }
        } catch {
            throw TestFailure("\(error)\n" + readText(output) + readText(directory + "/error.log"))
        }
    }

    deinit {
        stop()
    }

    /// Stops nginx.
    func stop() {
        process.send(SIGTERM)
        _ = try? process.wait()
    }

    /// What nginx complained about, at level warn and above.
    var complaints: [String] {
        readText(directory + "/error.log").split(separator: "\n").map(String.init)
    }

    static let isInstalled =
        baseEnvironment["PATH"]?.split(separator: ":")
        .contains { FileManager.default.isExecutableFile(atPath: "\($0)/nginx") } ?? false

    private static func configuration(
        port: UInt16,
        directory: String,
        upstream: String,
        root: String,
        keepsConnections: Bool
    ) -> String {
        """
        user www-data;
        daemon off;
        worker_processes 1;
        pid \(directory)/nginx.pid;
        error_log \(directory)/error.log warn;
        events { worker_connections 256; }
        http {
            include /etc/nginx/mime.types;
            default_type application/octet-stream;
            access_log off;
            client_max_body_size 20m;
            client_body_temp_path \(directory)/body;
            fastcgi_temp_path \(directory)/fastcgi;
            proxy_temp_path \(directory)/proxy;
            uwsgi_temp_path \(directory)/uwsgi;
            scgi_temp_path \(directory)/scgi;
            upstream php {
                server \(upstream);
                \(keepsConnections ? "keepalive 8;" : "")
            }
            server {
                listen 127.0.0.1:\(port);
                server_name localhost;
                root \(root);
                index index.php;
                location ~ ^(.+?\\.php)(/.*)?$ {
                    fastcgi_split_path_info ^(.+?\\.php)(/.*)$;
                    set $path_info $fastcgi_path_info;
                    include /etc/nginx/fastcgi.conf;
                    fastcgi_param PATH_INFO $path_info;
                    fastcgi_pass php;
                    \(keepsConnections ? "fastcgi_keep_conn on;" : "")
                }
                location = /status { include /etc/nginx/fastcgi.conf; fastcgi_pass php; }
                location = /ping { include /etc/nginx/fastcgi.conf; fastcgi_pass php; }
            }
        }
        """
    }
}

extension Trait where Self == ConditionTrait {
    /// Skips a test where nginx is not installed.
    static var needsNginx: Self {
        .enabled(if: WebServer.isInstalled && getuid() == 0, "needs nginx and root: see install-apps.sh")
    }
}

/// One step of a visit as both stacks are asked to do it.
struct Step {
    let name: String
    let response: HTTPResponse
}

/// Something in which a visit over fpmd differs from one over php-fpm, on purpose.
struct AcceptedDifference {
    /// Step name, or the beginning of it with `*`.
    let step: String
    let reason: String
}

/// All of them.
///
/// Whatever is not listed here must be the same.
let acceptedDifferences: [AcceptedDifference] = []

/// Expects two visits to have seen the same: status, header names in order, body without tokens and times.
func expectSameVisit(_ expected: [Step], _ actual: [Step], normalise: (String) -> String) {
    #expect(expected.map(\.name) == actual.map(\.name))
    for (left, right) in zip(expected, actual) {
        if acceptedDifferences.contains(where: { $0.step == left.name }) { continue }
        #expect(left.response.status == right.response.status, "\(left.name)")
        #expect(left.response.headers.map(\.name) == right.response.headers.map(\.name), "\(left.name)")
        for name in ["Content-Type", "Location", "Cache-Control", "Vary", "Status"] {
            #expect(
                left.response.header(name).map(normalise) == right.response.header(name).map(normalise),
                "\(left.name), \(name)"
            )
        }
        let leftLines = normalise(left.response.text).components(separatedBy: "\n")
        let rightLines = normalise(right.response.text).components(separatedBy: "\n")
        if let index = zip(leftLines, rightLines).enumerated().first(where: { $1.0 != $1.1 })?.offset {
            let (one, other) = (Array(leftLines[index]), Array(rightLines[index]))
            let start = max(0, zip(one, other).prefix { $0 == $1 }.count - 60)
            let excerpts = [one, other].map { String($0.dropFirst(start).prefix(250)) }
            Issue.record("\(left.name), line \(index + 1):\n\(excerpts.joined(separator: "\n"))")
        }
        #expect(leftLines.count == rightLines.count, "\(left.name)")
    }
}
