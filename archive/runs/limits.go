package runs

const (
	// DefaultRecords is how many records a table takes before it becomes a run. At
	// 2^17 a table has 16 MiB and there are at most two; at 100,000 records a
	// second one is written every 1.3 seconds.
	DefaultRecords = 1 << 17
	// listsPerRecord is how many list entries a table has room for, per record:
	// two digests and a dossier.
	listsPerRecord = 3
	// maxSpan is how many batches a table may reach over. Where few records come
	// in, a batch has one record, and after a crash each file is read again.
	maxSpan = 1024
	// maxDelta is what the seq of an entry may be above that of its run's first:
	// it is written in 32 bits.
	maxDelta = 1<<32 - 1

	// maxGroup is how many records a group may have: a position is written in 16
	// bits.
	maxGroup = 1 << 16

	// fan is how many runs of one size become one. Smaller rewrites more often,
	// larger leaves more runs to look into: at four, 50 million records are
	// rewritten four times and lie in some eight runs. Eight to one cost a fifth less
	// to add, and made look-ups and late ids take about twice as long (ADR 44).
	fan = 4
	// maxRuns stops the taking of tables while merging is behind: who asks without
	// a time looks into every run.
	maxRuns = 48

	// filterBits is bits of filter per id. At twelve, one look-up in 170 reads a
	// block in vain.
	filterBits = 12
	// DefaultResident is how many ids a run may have for its filter to be held in
	// memory: that leaves the runs of the first three sizes, with 12 MiB of filters
	// when nothing is being merged. A new id seldom has to be looked for in larger
	// ones, since their records are older than it.
	DefaultResident = 1 << 22

	// chunk is what is read or written at once when runs are merged.
	chunk = 64 * blockSize
	// syncEvery spreads the writing out of a large run, so that the journal's
	// fsync, which waits for the same disk, does not meet all of it at once.
	syncEvery = 16 << 20
)
