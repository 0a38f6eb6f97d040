import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { defineConfig, type Plugin } from "vite";

/** Writes a .gz twin beside every text file of the build that shrinks; the Go handler prefers it. */
function packed(): Plugin {
  let out = "dist";
  return {
    name: "packed",
    apply: "build",
    configResolved(config) {
      out = config.build.outDir;
    },
    closeBundle() {
      for (const name of readdirSync(out, { recursive: true, encoding: "utf8" })) {
        const file = join(out, name);
        if (!/\.(js|css|html|svg)$/.test(name) || !statSync(file).isFile()) continue;
        const body = readFileSync(file);
        const small = gzipSync(body, { level: 9 });
        if (small.length < body.length) writeFileSync(`${file}.gz`, small);
      }
    },
  };
}

const server = process.env.SKEIN ?? "http://127.0.0.1:8080";

export default defineConfig(({ mode }) => ({
  plugins: [packed()],
  esbuild: { jsx: "automatic" },
  server: { proxy: { "/v1": server, "/mock": server } },
  build: {
    outDir: mode === "mock" ? "dist-mock" : "dist",
    emptyOutDir: true, // public/.keep is copied in, so dist stays embeddable
    target: "es2022",
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 700,
    rollupOptions: {
      onwarn(warning, warn) {
        if (warning.code !== "MODULE_LEVEL_DIRECTIVE") warn(warning); // "use client" means nothing here
      },
      output: {
        manualChunks(id) {
          if (/node_modules\/(react|react-dom|scheduler)\//.test(id)) return "react";
          return undefined;
        },
      },
    },
  },
  test: { include: ["src/**/*.test.ts"], environment: "node", restoreMocks: true },
}));
