/** How far a write has gone when its promise resolves: our buffers, the operating system, the disk. */
export type Durability = 'none' | 'os' | 'disk'
