extension Dashboard {
    /// What makes the page live; ``contentSecurityPolicy`` has its hash.
    ///
    /// It builds elements and sets their texts, and never parses markup: URIs and scripts are strangers' words.
    static let script: StaticString = #"""
        "use strict";
        const main = document.querySelector("main"), clock = document.getElementById("clock");
        const dot = document.querySelector(".dot"), past = new Map(), period = 2000, kept = 90;
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
          if (us < 1e6) return (us / 1000).toPrecision(3).replace(/\.?0+$/, "") + " ms";
          if (us < 6e7) return (us / 1e6).toPrecision(3) + " s";
          return Math.floor(us / 6e7) + " min";
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
        function figure(title, value, picture, left, right) {
          const box = make("figure"), caption = make("figcaption"), axis = make("div", undefined, "axis");
          caption.append(make("span", title), make("b", value));
          axis.append(make("span", left), make("span", right));
          box.append(caption, picture, axis);
          return box;
        }
        function spark(values, least) {
          const picture = shape("svg", {viewBox: "0 0 100 40", preserveAspectRatio: "none", role: "img"});
          const top = Math.max(least, ...values), step = 100 / (kept - 1), start = 100 - step * (values.length - 1);
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
        function quantile(counts, bounds, share) {
          const total = counts.reduce((a, b) => a + b, 0);
          let seen = 0;
          for (let i = 0; i < counts.length; i++) {
            seen += counts[i];
            if (total && seen >= share * total) return bounds[i] ? duration(bounds[i]) : "> 2 min";
          }
          return "–";
        }
        function recent(now, before) {
          const gained = now.map((v, i) => v - (before ? before[i] : 0));
          return gained.some(v => v < 0) || !gained.some(v => v > 0) ? null : gained;
        }
        function distribution(title, now, before, bounds) {
          const lately = before ? recent(now, before) : null, shown = lately || now;
          const value = ["50", "95", "99"].map(p => "p" + p + " " + quantile(shown, bounds, p / 100)).join(" · ");
          const box = figure(title + (lately ? ", last minute" : ", since the start"), value, bars(shown, bounds),
            "≤ " + duration(bounds[0]), "> " + duration(bounds[bounds.length - 1]));
          box.className = "wide";
          return box;
        }
        function workers(list) {
          const table = make("table"), head = make("tr"), scroll = make("div", undefined, "scroll");
          for (const name of ["pid", "state", "requests", "time", "memory", "cpu"])
            head.append(make("th", name, /pid|state/.test(name) ? "" : "n"));
          head.append(make("th", "request"), make("th", "script"));
          table.append(head);
          for (const one of list) {
            const row = make("tr"), state = make("td"), idle = one.state === "Idle";
            state.append(make("span", one.state, idle ? "state" : "state busy"));
            row.append(make("td", one.pid), state, make("td", count(one.requests), "n"),
              make("td", duration(one["request duration"]), "n"),
              make("td", idle ? bytes(one["last request memory"]) : "", "n"),
              make("td", idle ? one["last request cpu"] + " %" : "", "n"),
              make("td", one["request method"] + " " + one["request uri"], "uri"), make("td", one.script, "uri"));
            row.lastChild.title = one.script;
            row.children[6].title = one["request uri"];
            table.append(row);
          }
          scroll.append(table);
          return scroll;
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
          box.dataset.pool = name;
          title.append(make("small", pool["process manager"] + ", up to " + f["max children"] + " workers"));
          const tiles = make("div", undefined, "tiles"), share = Math.round(f.saturation * 100);
          const load = tile(share + " %", "saturation", share >= 100 ? "bad" : share >= 80 ? "warn" : "");
          const meter = make("meter");
          meter.max = 100; meter.high = 80; meter.optimum = 0; meter.value = share;
          load.append(meter);
          tiles.append(load, tile(pool["active processes"] + " / " + pool["total processes"], "busy workers"),
            tile(pool["listen queue"], "waiting", pool["listen queue"] > 0 ? "warn" : ""),
            tile(f["oldest wait"] ? duration(f["oldest wait"]) : "–", "longest wait now", f["oldest wait"] > 1e6 ? "bad" : ""),
            tile(count(rate) + " /s", "requests"), tile(count(pool["accepted conn"]), "requests in all"),
            tile(f.exits.crash + f.exits.killed + f.exits.terminate_timeout, "workers lost",
              f.exits.crash + f.exits.killed > 0 ? "warn" : ""),
            tile(f.rejected + f.expired, "refused (503)", f.rejected + f.expired > 0 ? "warn" : ""));
          const plots = make("div", undefined, "plots"), ago = kept * period / 60000 + " min ago";
          const peak = key => "now " + count(history[history.length - 1][key]) + ", most "
            + count(Math.max(...history.map(h => h[key])));
          plots.append(
            figure("requests per second", peak("rate"), spark(history.map(h => h.rate), 1), ago, "now"),
            figure("busy workers", peak("active"), spark(history.map(h => h.active), f["max children"]), ago, "now"),
            figure("waiting requests", peak("queue"), spark(history.map(h => h.queue), 1), ago, "now"),
            distribution("time of a request", f.service, minute && minute.service, f.bounds),
            distribution("time in the queue", f.wait, minute && minute.wait, f.bounds));
          box.append(title, tiles, plots);
          if (pool.processes && pool.processes.length) box.append(workers(pool.processes));
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
            clock.textContent = "live, " + new Date().toLocaleTimeString();
            document.documentElement.dataset.turns = ++turns;
          } catch (error) {
            dot.className = "dot off";
            clock.textContent = "no answer: " + error.message;
          }
          setTimeout(turn, document.hidden ? 5 * period : period);
        }
        turn();
        """#
}
