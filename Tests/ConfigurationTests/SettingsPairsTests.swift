@testable import Configuration
import Testing

/// Settings that go from one image of the program to another.
@Suite struct SettingsPairsTests {
    private func dump(_ configuration: ServiceConfiguration) -> [ByteString] { configuration.dumpLines }

    private func copy(_ configuration: ServiceConfiguration) -> ServiceConfiguration {
        ServiceConfiguration(
            global: GlobalSettings(pairs: configuration.global.pairs),
            pools: configuration.pools.map { PoolSettings(name: $0.name, pairs: $0.pairs) }
        )
    }

    @Test func everythingComesAcross() throws {
        let text = """
            [global]
            pid = /run/fpm.pid
            error_log = /var/log/fpm.log
            log_level = debug
            syslog.facility = local0
            process.max = 12
            process.priority = -3
            systemd_interval = 7
            rlimit_core = unlimited
            daemonize = no
            [www]
            user = www-data
            group = www-data
            listen = /run/www.sock
            listen.backlog = 99
            listen.mode = 0600
            pm = dynamic
            pm.max_children = 9
            pm.min_spare_servers = 1
            pm.max_spare_servers = 3
            pm.process_idle_timeout = 2m
            pm.max_memory = 64M
            pm.status_path = /status
            pm.status_listen = 127.0.0.1:9001
            ping.path = /ping
            access.suppress_path[] = /a
            access.suppress_path[] = /b
            process.priority = 0
            request_terminate_timeout = 3
            clear_env = no
            env[A] = 1
            env[B] =  $HOME
            php_value[x] = 1
            php_flag[y] = on
            php_admin_value[z] = two words
            php_admin_flag[w] = off
            security.limit_extensions =
            rlimit_core = 0

            """
        let outcome = FakeHost(text).load()
        let configuration = try #require(outcome.configuration, "\(outcome.diagnostics)")
        let copied = copy(configuration)
        #expect(dump(copied) == dump(configuration))
        let (pool, original) = (try #require(copied.pools.first), try #require(configuration.pools.first))
        #expect(pool.sources == original.sources && !pool.sources.isEmpty)
        #expect(pool.statusListenerText == original.statusListenerText)
        #expect(pool.phpValues == original.phpValues && pool.phpAdminValues == original.phpAdminValues)
        #expect(pool.environment == original.environment && pool.suppressedPaths == ["/b", "/a"])
        #expect(pool.limitExtensionsText == original.limitExtensionsText)
        #expect(pool.processPriority == 0)
        #expect(copied.global.systemdInterval == .seconds(7))
    }

    /// Every directive is of a kind that comes across: with a value that is not the default, the copy has it too.
    @Test func everyScalarDirectiveComesAcross() {
        for row in PoolSettings.table where !row.field.isArray {
            var settings = PoolSettings(name: "www")
            for value in ["7", "static", "yes", "no"] as [ByteString] {
                guard (try? row.field.store(value, pool: "www", in: &settings)) != nil else { continue }
                if !settings.pairs.isEmpty { break }
            }
            let copied = PoolSettings(name: "www", pairs: settings.pairs)
            let wholes = [settings, copied].map {
                ServiceConfiguration(global: GlobalSettings(), pools: [$0])
            }
            #expect(dump(wholes[0]) == dump(wholes[1]))
            #expect(copied.pairs.map(\.value) == settings.pairs.map(\.value))
            #expect(settings.pairs.count == 1, "\(row.name)")
        }
    }

    @Test func unknownNamesAreLeftOut() {
        let settings = PoolSettings(name: "www", pairs: [("pm.of_tomorrow", "1"), ("pm.max_children", "5")])
        #expect(settings.maxChildren == 5)
        #expect(GlobalSettings(pairs: [("=what", "1"), ("process.max", "x")]).processMax == 0)
    }
}
