package archive

// recent is the batches that the system may keep in its memory: the newest,
// which are the ones that are asked for. What was written long ago would only
// take the room of the index and of the chain.
type recent struct {
	files []recentFile // oldest first
	bytes int64
}

type recentFile struct {
	path  string
	bytes int64
}

// add notes a batch that was put away, and lets go of older ones beyond
// keptBytes. The outbox calls it.
func (r *recent) add(path string, bytes int64) {
	r.files = append(r.files, recentFile{path, bytes})
	r.bytes += bytes
	for r.bytes > keptBytes && len(r.files) > 1 {
		uncache(r.files[0].path)
		r.bytes -= r.files[0].bytes
		r.files = r.files[1:]
	}
}
