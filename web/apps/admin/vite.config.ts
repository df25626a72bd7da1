import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';

/* The server of `npm run dev` hands the API on to a running PBX: AOIDE=https://127.0.0.1:8443 npm run dev */
const target = process.env['AOIDE'] ?? 'https://127.0.0.1:8443';

export default defineConfig({
  plugins: [react()],
  build: {
    target: 'es2022',
    sourcemap: false,
    chunkSizeWarningLimit: 400,
    /* The server forbids data: URLs for fonts and images, so nothing is inlined. */
    assetsInlineLimit: 0,
    rollupOptions: {
      output: {
        manualChunks: {
          react: ['react', 'react-dom', 'react-router-dom', 'scheduler'],
          mantine: ['@mantine/core', '@mantine/hooks', '@mantine/notifications'],
          data: ['@tanstack/react-query', 'i18next', 'react-i18next', 'valibot'],
        },
      },
    },
  },
  server: {
    proxy: {
      '/api': { target, secure: false, changeOrigin: true },
      '/rest': { target, secure: false, changeOrigin: true },
      '/ws': { target, secure: false, ws: true, changeOrigin: true },
    },
  },
});
