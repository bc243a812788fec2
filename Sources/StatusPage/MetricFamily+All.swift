extension MetricFamily {
    /// Every family, in the order of the page.
    static var all: [MetricFamily] { serviceFamilies + exporterFamilies + workerFamilies + poolFamilies }

    private static func service(
        _ name: StaticString,
        _ kind: Kind,
        _ help: StaticString,
        _ samples: @escaping (ServiceFigures, inout SampleWriter) -> Void
    ) -> MetricFamily {
        MetricFamily(name: name, kind: kind, help: help, samples: .service(samples))
    }

    private static func pool(
        _ name: StaticString,
        _ kind: Kind,
        _ help: StaticString,
        _ samples: @escaping (PoolFigures, inout SampleWriter) -> Void
    ) -> MetricFamily {
        MetricFamily(name: name, kind: kind, help: help, samples: .pool(hasURI: false, samples))
    }

    /// A family of php-fpm_exporter with one sample for each pool.
    private static func exporter(
        _ name: StaticString,
        _ kind: Kind,
        _ help: StaticString,
        _ value: @escaping (PoolStatus) -> SampleWriter.Value
    ) -> MetricFamily {
        MetricFamily(
            name: name,
            kind: kind,
            help: help,
            samples: .pool(hasURI: true) { pool, writer in writer.sample(value: value(pool.status)) }
        )
    }

    /// A family of php-fpm_exporter with samples for each worker, which is known by its place.
    private static func worker(
        _ name: StaticString,
        _ kind: Kind,
        _ help: StaticString,
        _ value: @escaping (WorkerFigures) -> SampleWriter.Value
    ) -> MetricFamily {
        MetricFamily(
            name: name,
            kind: kind,
            help: help,
            samples: .worker { position, worker, writer in
                writer.sample("", ("child", Array(String(position).utf8)), value: value(worker))
            }
        )
    }

    // MARK: - The service

    private static var serviceFamilies: [MetricFamily] {
        [
            service("fpmd_build", .info, "Version of fpmd.") { service, writer in
                writer.sample("_info", ("version", service.version), value: .count(1))
            },
            service("fpmd_ready", .gauge, "Whether the service is ready to handle connections.") {
                $1.sample(value: .flag($0.isReady))
            },
            service("fpmd_reloads", .counter, "Reloads, by what became of them.") { service, writer in
                writer.sample("_total", ("result", Array("done".utf8)), value: .count(service.reloadsDone))
                writer.sample(
                    "_total",
                    ("result", Array("refused".utf8)),
                    value: .count(service.reloadsRefused)
                )
            },
            service("fpmd_last_reload_successful", .gauge, "Whether the last reload took effect.") {
                $1.sample(value: .flag($0.lastReloadWorked))
            },
            service("process_cpu_seconds", .counter, "Processor time of the master.") { service, writer in
                if let time = service.process.cpuMicroseconds {
                    writer.sample("_total", value: .microseconds(time))
                }
            },
            service("process_resident_memory_bytes", .gauge, "Resident memory of the master.") {
                $1.sample(optional: $0.process.residentMemory)
            },
            service("process_virtual_memory_bytes", .gauge, "Virtual memory of the master.") {
                $1.sample(optional: $0.process.virtualMemory)
            },
            service("process_open_fds", .gauge, "File descriptors that the master has open.") {
                $1.sample(optional: $0.process.openFiles)
            },
            service("process_max_fds", .gauge, "File descriptors that the master may have open.") {
                $1.sample(optional: $0.process.fileLimit)
            },
            service("process_start_time_seconds", .gauge, "When the master started, since the epoch.") {
                if let time = $0.process.startCentiseconds { $1.sample(value: .centiseconds(time)) }
            },
        ]
    }

    // MARK: - php-fpm_exporter's

    private static var exporterFamilies: [MetricFamily] {
        [
            exporter("phpfpm_up", .gauge, "Whether the pool is there.") { _ in .count(1) },
            exporter("phpfpm_scrape_failures", .namedCounter, "Always 0: nothing is scraped to get these.") {
                _ in
                .count(0)
            },
            exporter("phpfpm_start_since", .namedCounter, "Seconds since the pool was started or reloaded.") {
                .signed($0.start.secondsSince)
            },
            exporter("phpfpm_accepted_connections", .namedCounter, "Requests begun since then.") {
                .count($0.acceptedConnections)
            },
            exporter("phpfpm_listen_queue", .gauge, "Connections that wait for a worker.") {
                .count($0.listenQueue)
            },
            exporter("phpfpm_max_listen_queue", .namedCounter, "Most connections that have waited at a time.")
            {
                .count($0.maxListenQueue)
            },
            exporter("phpfpm_listen_queue_length", .gauge, "Connections that may wait in the listener.") {
                .count($0.listenQueueLength)
            },
            exporter("phpfpm_idle_processes", .gauge, "Idle workers.") { .count($0.idleProcesses) },
            exporter("phpfpm_active_processes", .gauge, "Workers that serve a request.") {
                .count($0.activeProcesses)
            },
            exporter("phpfpm_total_processes", .gauge, "Idle and active workers.") {
                .count($0.totalProcesses)
            },
            exporter("phpfpm_max_active_processes", .namedCounter, "Most workers that served at a time.") {
                .count($0.maxActiveProcesses)
            },
            exporter("phpfpm_max_children_reached", .namedCounter, "How often pm.max_children was reached.") {
                .count($0.maxChildrenReached)
            },
            exporter("phpfpm_slow_requests", .namedCounter, "Requests that exceeded request_slowlog_timeout.")
            {
                .count($0.slowRequests)
            },
        ]
    }

    private static var workerFamilies: [MetricFamily] {
        let states: [ProcessStatus.State] = [
            .idle, .running, .finishing, .readingHeaders, .gettingRequestInformation,
        ]
        return [
            worker("phpfpm_process_requests", .namedCounter, "Requests begun by a worker.") {
                .count($0.requests)
            },
            worker("phpfpm_process_last_request_memory", .gauge, "Bytes at the peak of its last request.") {
                .count($0.lastRequestMemory)
            },
            worker(
                "phpfpm_process_last_request_cpu",
                .gauge,
                "Per cent of a processor during its last request."
            ) {
                .ratio($0.lastRequestCPU)
            },
            worker("phpfpm_process_request_duration", .gauge, "Microseconds of its request or its last one.")
            {
                .count($0.requestDuration)
            },
            MetricFamily(
                name: "phpfpm_process_state",
                kind: .gauge,
                help: "What a worker is doing.",
                samples: .worker { position, worker, writer in
                    for state in states {
                        writer.sample(
                            "",
                            ("child", Array(String(position).utf8)),
                            ("state", Array(static: state.text)),
                            value: .flag(state == worker.state)
                        )
                    }
                }
            ),
        ]
    }

    // MARK: - What php-fpm does not know

    private static var poolFamilies: [MetricFamily] {
        [
            pool("phpfpm_max_children", .gauge, "The pool's pm.max_children.") {
                $1.sample(value: .count($0.maxChildren))
            },
            pool(
                "phpfpm_saturation_ratio",
                .gauge,
                "Share of pm.max_children that is busy; 1 while requests wait."
            ) {
                $1.sample(value: .ratio($0.saturation))
            },
            pool("phpfpm_queue_depth", .gauge, "Requests that wait for a worker in the master.") {
                $1.sample(value: .count($0.queue.depth))
            },
            pool("phpfpm_queue_oldest_wait_seconds", .gauge, "How long the first of them has waited.") {
                $1.sample(value: .microseconds($0.queue.oldestWaitMicroseconds))
            },
            pool("phpfpm_queue_refused", .counter, "Requests answered 503 because of the queue, by reason.") {
                pool,
                writer in
                guard pool.hasServed else { return }
                let totals = pool.totals
                writer.sample("_total", ("reason", Array("max_queue".utf8)), value: .count(totals.rejected))
                writer.sample(
                    "_total",
                    ("reason", Array("queue_timeout".utf8)),
                    value: .count(totals.expired)
                )
            },
            counter("phpfpm_queue_abandoned", "Requests dropped because their client had gone.", \.abandoned),
            counter(
                "phpfpm_saturations",
                "How often all workers were busy while requests waited.",
                \.saturations
            ),
            counter(
                "phpfpm_responses_drained",
                "Responses sent to slow readers without a worker.",
                \.drained
            ),
            pool("phpfpm_responses_draining", .gauge, "Responses that are being sent without a worker.") {
                $1.sample(value: .count($0.drainingResponses))
            },
            pool("phpfpm_responses_draining_bytes", .gauge, "Bytes that are left of them.") {
                $1.sample(value: .count($0.drainingBytes))
            },
            pool(
                "phpfpm_queue_wait_seconds",
                .histogram,
                "How long requests waited that found no free worker."
            ) {
                if $0.hasServed { $1.histogram($0.totals.wait) }
            },
            pool("phpfpm_request_duration_seconds", .histogram, "How long workers were busy with a request.")
            {
                if $0.hasServed { $1.histogram($0.totals.service) }
            },
            pool("phpfpm_worker_exits", .counter, "Workers that have ended, by cause.") { pool, writer in
                guard pool.hasServed else { return }
                for cause in WorkerExitCause.allCases {
                    writer.sample(
                        "_total",
                        ("cause", Array(static: cause.label)),
                        value: .count(pool.totals.exits[cause])
                    )
                }
            },
        ]
    }

    private static func counter(
        _ name: StaticString,
        _ help: StaticString,
        _ value: KeyPath<PoolTotals, UInt64>
    ) -> MetricFamily {
        pool(name, .counter, help) { pool, writer in
            if pool.hasServed { writer.sample("_total", value: .count(pool.totals[keyPath: value])) }
        }
    }
}

extension SampleWriter {
    fileprivate mutating func sample(optional value: UInt64?) {
        if let value { sample(value: .count(value)) }
    }
}
