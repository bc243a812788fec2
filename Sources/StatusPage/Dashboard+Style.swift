extension Dashboard {
    /// The page's style; ``contentSecurityPolicy`` has its hash.
    static let style: StaticString = #"""
        :root{color-scheme:light dark;--page:#f5f6f8;--card:#fff;--line:#e3e6eb;--text:#1c2430;--dim:#667085;
        --blue:#2f6fed;--green:#1a9d63;--amber:#d98a00;--red:#d33b3b;--soft:#2f6fed22}
        @media(prefers-color-scheme:dark){:root{--page:#0e1218;--card:#171d26;--line:#27303c;--text:#e6eaf0;
        --dim:#8e99a8;--blue:#6b9cff;--green:#43c98a;--amber:#f0b24a;--red:#ff7474;--soft:#6b9cff26}}
        *{box-sizing:border-box}
        body{margin:0;background:var(--page);color:var(--text);
        font:15px/1.45 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;
        font-variant-numeric:tabular-nums}
        header{display:flex;flex-wrap:wrap;gap:.25rem 1rem;align-items:baseline;padding:1rem 1.25rem .25rem;
        max-width:82rem;margin:auto}
        h1{font-size:1.25rem;margin:0}
        header p{margin:0;color:var(--dim);font-size:.85rem}
        .dot{display:inline-block;width:.6em;height:.6em;border-radius:50%;background:var(--dim);margin-right:.4em}
        .dot.on{background:var(--green)}.dot.off{background:var(--red)}
        main{display:grid;gap:1rem;padding:.75rem 1.25rem 2rem;max-width:82rem;margin:auto}
        section{background:var(--card);border:1px solid var(--line);border-radius:.75rem;padding:1rem 1.1rem;
        min-width:0}
        h2{font-size:1.05rem;margin:0 0 .75rem;display:flex;gap:.6rem;align-items:baseline;flex-wrap:wrap}
        h2:last-child{margin:0}
        h2 small{color:var(--dim);font-weight:400;font-size:.8rem}
        .tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(8.5rem,1fr));gap:.6rem}
        .tile{border:1px solid var(--line);border-radius:.55rem;padding:.5rem .7rem;min-width:0}
        .tile b{display:block;font-size:1.3rem;font-weight:600;white-space:nowrap}
        .tile span{color:var(--dim);font-size:.78rem}
        .tile.warn b{color:var(--amber)}.tile.bad b{color:var(--red)}
        meter{width:100%;height:.5rem;display:block}
        .plots{display:grid;grid-template-columns:repeat(6,1fr);gap:.6rem;margin-top:.6rem}
        figure{grid-column:span 2}figure.wide{grid-column:span 3}
        figure{margin:0;border:1px solid var(--line);border-radius:.55rem;padding:.5rem .7rem;min-width:0}
        figcaption{color:var(--dim);font-size:.78rem;display:flex;flex-wrap:wrap;gap:0 .9rem}
        figcaption span{margin-right:auto}
        figcaption b{color:var(--text);font-weight:600;white-space:nowrap}
        svg{display:block;width:100%;height:4.6rem;margin-top:.25rem;overflow:visible}
        .line{fill:none;stroke:var(--blue);stroke-width:1.6;vector-effect:non-scaling-stroke;stroke-linejoin:round}
        .area{fill:var(--soft)}.bar{fill:var(--blue)}.none{fill:var(--line)}.bar.slow{fill:var(--amber)}.bar.worst{fill:var(--red)}
        .axis{display:flex;justify-content:space-between;color:var(--dim);font-size:.7rem}
        .scroll{overflow-x:auto;margin-top:.8rem}
        table{border-collapse:collapse;width:100%;font-size:.85rem}
        th{color:var(--dim);font-weight:500;text-align:left;font-size:.75rem}
        th,td{padding:.3rem .6rem .3rem 0;border-bottom:1px solid var(--line);white-space:nowrap}
        tr:last-child td{border-bottom:0}
        td.n,th.n{text-align:right}
        td.uri{max-width:24rem;overflow:hidden;text-overflow:ellipsis}
        .state{display:inline-block;border-radius:1rem;padding:0 .55rem;font-size:.75rem;background:var(--line)}
        .state.busy{background:var(--soft);color:var(--blue)}
        td.warn{color:var(--amber);font-weight:600}td.bad{color:var(--red);font-weight:600}
        button{margin-top:.5rem;padding:.25rem .7rem;border:1px solid var(--line);border-radius:.5rem;background:none;
        color:var(--blue);font:inherit;font-size:.8rem;cursor:pointer}
        main.old{opacity:.5}
        .note{color:var(--dim);font-size:.8rem;margin:.5rem 0 0}
        @media(max-width:56rem){figure,figure.wide{grid-column:span 6}}
        @media(max-width:40rem){header,main{padding-left:.7rem;padding-right:.7rem}section{padding:.8rem}
        .tiles{grid-template-columns:repeat(2,1fr)}.less{display:none}td.uri{max-width:0;width:100%}}
        """#
}
