extension Dashboard {
    /// What makes the page live; ``contentSecurityPolicy`` has its hash.
    ///
    /// It builds elements and sets their texts, and never parses markup: URIs and scripts are strangers' words.
    static let script: StaticString = #"""
        "use strict";
        const main = document.querySelector("main"), clock = document.getElementById("clock");
        const dot = document.querySelector(".dot"), past = new Map(), period = 2000, kept = 90;
        const rows = 12, opened = new Set();
        let turns = 0;
        function make(name, text, cls) {
          const element = document.createElement(name);
          if (text !== undefined) element.textContent = text;
          if (cls) element.className = cls;
          return element;
        }
        function shape(name, attributes) {
          const element = document.createElementNS("http://www.w3.org/2000/svg", name);
          for (const key in attributes) element.setAttribute(key, attributes[key]);
          return element;
        }
        function duration(us) {
          if (us < 1000) return Math.round(us) + " µs";
          if (us < 1e6) return Number((us / 1e3).toPrecision(3)) + " ms";
          if (us < 6e7) return Number((us / 1e6).toPrecision(3)) + " s";
          return us < 36e8 ? Math.floor(us / 6e7) + " min" : (us / 36e8).toFixed(1) + " h";
        }
        function bytes(count) {
          return count < 1048576 ? Math.round(count / 1024) + " KiB" : (count / 1048576).toFixed(1) + " MiB";
        }
        function count(number) {
          return number < 1e5 ? String(Math.round(number)) : number < 1e7 ? (number / 1e3).toFixed(0) + " k"
            : (number / 1e6).toFixed(1) + " M";
        }
        function tile(value, label, cls) {
          const box = make("div", undefined, "tile" + (cls ? " " + cls : ""));
          box.append(make("b", value), make("span", label));
          return box;
        }
        function figure(title, values, picture, ...marks) {
          const box = make("figure"), caption = make("figcaption"), axis = make("div", undefined, "axis");
          caption.append(make("span", title));
          for (const value of values) caption.append(make("b", value));
          for (const mark of marks) axis.append(make("span", mark));
          box.append(caption, picture, axis);
          return box;
        }
        function span(values) { return Math.max(kept / 3, values.length); }
        function spark(values, least) {
          const picture = shape("svg", {viewBox: "0 0 100 40", preserveAspectRatio: "none", role: "img"});
          const top = Math.max(least, ...values), step = 100 / (span(values) - 1);
          const start = 100 - step * (values.length - 1);
          const points = values.map((v, i) => (start + i * step).toFixed(2) + "," + (39 - 37 * v / top).toFixed(2));
          if (points.length < 2) return picture;
          picture.append(shape("polygon", {class: "area", points: start.toFixed(2) + ",40 " + points.join(" ")
            + " 100,40"}), shape("polyline", {class: "line", points: points.join(" ")}));
          return picture;
        }
        function bars(counts, bounds) {
          const picture = shape("svg", {viewBox: "0 0 100 40", preserveAspectRatio: "none", role: "img"});
          const top = Math.max(1, ...counts), width = 100 / counts.length;
          counts.forEach((v, i) => {
            const bound = bounds[i] || Infinity, height = v ? Math.max(1.2, 38 * v / top) : .4;
            picture.append(shape("rect", {class: v ? "bar" + (bound > 2e6 ? " worst" : bound > 3e5 ? " slow" : "") : "none",
              x: (i * width + .5).toFixed(2), y: (40 - height).toFixed(2), width: (width - 1).toFixed(2),
              height: height.toFixed(2)}));
          });
          return picture;
        }
        // Durations are thought to be spread evenly within a bucket, as Prometheus does.
        function quantile(counts, bounds, share) {
          const rank = share * counts.reduce((a, b) => a + b, 0);
          let seen = 0;
          for (let i = 0; i < bounds.length; i++) {
            const low = i ? bounds[i - 1] : 0;
            if (counts[i] && seen + counts[i] >= rank)
              return "≈ " + duration(Number((low + (bounds[i] - low) * (rank - seen) / counts[i]).toPrecision(2)));
            seen += counts[i];
          }
          return "> " + duration(bounds[bounds.length - 1]);
        }
        function recent(now, before) {
          const gained = now.map((v, i) => v - (before ? before[i] : 0));
          return gained.some(v => v < 0) || !gained.some(v => v > 0) ? null : gained;
        }
        function distribution(title, now, before, bounds, nothing) {
          const lately = before ? recent(now, before) : null, shown = lately || now, some = shown.some(v => v > 0);
          const values = some ? [50, 95, 99].map(p => "p" + p + " " + quantile(shown, bounds, p / 100)) : [nothing];
          const box = figure(title + (lately ? ", last minute" : ", since the start"), values, bars(shown, bounds),
            "≤ " + duration(bounds[0]), duration(bounds[middle(bounds)]), "> " + duration(bounds[bounds.length - 1]));
          box.className = "wide";
          return box;
        }
        // The bound in the middle of the picture, which has a bar more than there are bounds.
        function middle(bounds) { return (bounds.length + 1) / 2 - 1; }
        function workers(pool, list) {
          const table = make("table"), head = make("tr"), scroll = make("div", undefined, "scroll");
          const columns = [["pid", ""], ["state", ""], ["requests", "n less"], ["time", "n"], ["memory", "n less"],
            ["cpu", "n less"], ["request", ""], ["script", "less"]];
          for (const [name, cls] of columns) head.append(make("th", name, cls));
          table.append(head);
          // Busy ones first, those that take longest before all others.
          const time = one => one.state === "Idle" ? -1 : one["request duration"];
          const sorted = [...list].sort((a, b) => time(b) - time(a));
          for (const one of opened.has(pool) ? sorted : sorted.slice(0, rows)) {
            const row = make("tr"), state = make("td"), idle = one.state === "Idle", us = one["request duration"];
            const asked = one["request method"] === "-" ? "" : one["request method"] + " " + one["request uri"];
            state.append(make("span", one.state, idle ? "state" : "state busy"));
            row.append(make("td", one.pid), state, make("td", count(one.requests), "n less"),
              make("td", asked ? duration(us) : "", idle || us < 2e6 ? "n" : us < 1e7 ? "n warn" : "n bad"),
              make("td", idle && asked ? bytes(one["last request memory"]) : "", "n less"),
              make("td", idle && asked ? Math.round(one["last request cpu"]) + " %" : "", "n less"),
              make("td", asked, "uri"), make("td", asked ? one.script : "", "uri less"));
            row.children[6].title = asked;
            row.children[7].title = one.script;
            table.append(row);
          }
          scroll.append(table);
          const box = make("div");
          box.append(scroll);
          if (list.length > rows) {
            const more = make("button", opened.has(pool) ? "show fewer" : "show all " + list.length + " workers");
            more.addEventListener("click", () => {
              if (!opened.delete(pool)) opened.add(pool);
              box.replaceWith(workers(pool, list));
            });
            box.append(more);
          }
          return box;
        }
        function show(pool, time) {
          const f = pool.figures, name = pool.pool, box = make("section"), title = make("h2", name);
          const history = past.get(name) || past.set(name, []).get(name), last = history[history.length - 1];
          let rate = 0;
          if (last) rate = Math.max(0, (pool["accepted conn"] - last.accepted) * 1000 / (time - last.time));
          history.push({time, rate, accepted: pool["accepted conn"], active: pool["active processes"],
            queue: pool["listen queue"], service: f.service, wait: f.wait});
          if (history.length > kept) history.shift();
          const minute = history.find(h => time - h.time < 60000 && h !== history[history.length - 1]);
          const queue = pool["listen queue"], isFull = f.saturation >= 1, lost = f.exits.crash + f.exits.killed;
          box.dataset.pool = name;
          title.append(make("small", pool["process manager"] + ", up to " + f["max children"] + " workers"));
          if (!pool["total processes"] && !queue && !f.service.some(v => v > 0)) {
            title.append(make("small", "no request yet"));
            box.append(title);
            return box;
          }
          const tiles = make("div", undefined, "tiles"), share = Math.round(f.saturation * 100);
          const load = tile(share + " %", "saturation", share >= 100 ? "bad" : share >= 80 ? "warn" : "");
          const meter = make("meter");
          meter.max = 100; meter.low = 80; meter.high = 99; meter.optimum = 0; meter.value = share;
          load.append(meter);
          tiles.append(load, tile(pool["active processes"] + " / " + pool["total processes"], "busy workers"),
            tile(count(queue), "waiting", queue > 0 && isFull ? "warn" : ""),
            tile(f["oldest wait"] ? duration(f["oldest wait"]) : "–", "longest wait now", f["oldest wait"] > 1e6 ? "bad" : ""),
            tile(count(rate) + " /s", "requests"), tile(count(pool["accepted conn"]), "requests in all"),
            tile(count(lost + f.exits.terminate_timeout), "workers lost", lost > 0 ? "warn" : ""),
            tile(count(f.rejected + f.expired), "refused (503)", f.rejected + f.expired > 0 ? "warn" : ""));
          const plots = make("div", undefined, "plots"), seconds = span(history) * period / 1000;
          const ago = seconds < 120 ? Math.round(seconds) + " s ago" : Math.round(seconds / 60) + " min ago";
          const peak = key => ["now " + count(history[history.length - 1][key]) + ", most "
            + count(Math.max(...history.map(h => h[key])))];
          plots.append(
            figure("requests per second", peak("rate"), spark(history.map(h => h.rate), 1), ago, "now"),
            figure("busy workers", peak("active"), spark(history.map(h => h.active), f["max children"]), ago, "now"),
            figure("waiting requests", peak("queue"), spark(history.map(h => h.queue), 1), ago, "now"),
            distribution("time of a request", f.service, minute && minute.service, f.bounds, "no request yet"),
            distribution("time in the queue", f.wait, minute && minute.wait, f.bounds, "nobody had to wait"));
          box.append(title, tiles, plots);
          if (pool.processes && pool.processes.length) box.append(workers(name, pool.processes));
          return box;
        }
        async function turn() {
          try {
            const answer = await fetch(location.pathname + "?json&full&figures", {cache: "no-store"});
            if (!answer.ok) throw new Error("status " + answer.status);
            const data = await answer.json(), pools = data.pools || [data], time = performance.now();
            const place = [...document.querySelectorAll(".scroll")].map(s => s.scrollLeft);
            main.replaceChildren(...pools.map(pool => show(pool, time)));
            document.querySelectorAll(".scroll").forEach((s, i) => { s.scrollLeft = place[i] || 0; });
            if (data["pool count"] > pools.length)
              main.append(make("p", (data["pool count"] - pools.length) + " more pools: see /metrics", "note"));
            dot.className = "dot on";
            main.className = "";
            const all = data["pool count"] || 1, full = pools.filter(pool => pool.figures.saturation >= 1).length;
            clock.textContent = "live, " + new Date().toLocaleTimeString() + (all > 1 ? " · " + all + " pools" : "")
              + (full ? " · " + (all > 1 ? full + " saturated" : "saturated") : "");
            document.documentElement.dataset.turns = ++turns;
          } catch (error) {
            dot.className = "dot off";
            main.className = "old";
            clock.textContent = "no answer: " + error.message;
          }
          setTimeout(turn, document.hidden ? 5 * period : period);
        }
        turn();
        """#
}
