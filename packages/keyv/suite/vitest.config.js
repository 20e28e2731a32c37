// @ts-check
export default { test: { include: ['*.suite.js'], fileParallelism: false } }
