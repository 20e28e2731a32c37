// @ts-check
// The other side of `inChild`.

const [file, part, args] = process.argv.slice(2)
const parts = await import(String(file))
const result = await parts[String(part)](JSON.parse(String(args)))
process.send?.({ result })
