'use strict';

const express = require('express');

const app = express();
app.disable('x-powered-by');

app.get('/', (request, response) => {
  response.type('text').send(`Hello from Express, revision ${process.env.K_REVISION}.\n`);
});

app.get('/health', (request, response) => {
  response.json({ status: 'ok' });
});

// Takes as many milliseconds as it is asked to, to show that what has begun is finished.
app.get('/slow', (request, response) => {
  const milliseconds = Math.min(Number(request.query.ms) || 0, 10_000);
  console.log(`slow: ${milliseconds} ms`);
  setTimeout(() => response.type('text').send('done\n'), milliseconds);
});

const port = Number(process.env.PORT) || 8080;
const server = app.listen(port, '0.0.0.0', () => console.log(`listening on port ${port}`));

process.on('SIGTERM', () => {
  console.log('SIGTERM: taking no new requests');
  server.close(() => {
    console.log('every request is finished: goodbye');
    process.exit(0);
  });
  // Kept connections without a request would hold it up until their clients let go.
  server.closeIdleConnections();
});
