package fsck

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"path/filepath"
	"strings"
)

// BatchChecker checks bytes as if they stood in a file of the home's archive: name
// is that of a closed batch on the ledger, or of a journal.
func BatchChecker(ctx context.Context, h Home) (check func(name string, data []byte) error, closeAll func(), err error) {
	c := &checker{ctx: ctx, home: h, opt: Options{Workers: 1, Progress: func(Phase, int64, int64) {}}, report: &Report{}}
	if err := c.checkHome(); err != nil {
		return nil, nil, err
	}
	l, err := c.checkChain()
	if err != nil {
		return nil, nil, err
	}
	a := &archiveRun{c: c, judge: c.newJudge()}
	return func(name string, data []byte) error {
		seq, digest, closed := batchName(name)
		if !closed {
			seq = 5
		}
		b, err := a.judge.readBatch(name, bytes.NewReader(data), int64(len(data)), seq)
		if err == nil && closed {
			err = a.closedBatch(b, digest, true)
		}
		return err
	}, l.close, nil
}

// Reseal makes the checksums of the frame right that holds an offset, if it is
// within a payload; starts are the frames' offsets.
func Reseal(name string, data []byte, starts []int, at int) bool {
	seq, _, _ := batchName(name)
	for i, start := range starts {
		end := len(data)
		if i+1 < len(starts) {
			end = starts[i+1]
		}
		if at >= start+frameHead && at < end-frameTail {
			f := &frames{seq: seq}
			binary.BigEndian.PutUint32(data[start+8:], f.checksum(int64(start), data[start:]))
			binary.BigEndian.PutUint32(data[end-frameTail:], crc32.Checksum(data[start+8:end-frameTail], castagnoli))
			return true
		}
	}
	return false
}

// FrameStarts are the offsets of the frames of a good file.
func FrameStarts(data []byte) (out []int) {
	for at := len(preface); at < len(data); at += frameHead + int(binary.BigEndian.Uint32(data[at+4:])) + frameTail {
		out = append(out, at)
	}
	return out
}

// IsProblem says whether an error names what is wrong in a file.
func IsProblem(err error, file string) bool {
	p, ok := err.(*Problem)
	return ok && strings.HasPrefix(p.File, file) && len(p.Code.words().means[0]) > 0
}

// Broken judges a file of the outbox when a size was sealed at a time (Unix
// seconds), and returns the promise in it that was not kept.
func Broken(ctx context.Context, h Home, path string, sealed int64) (*Problem, error) {
	c := &checker{ctx: ctx, home: h, opt: Options{Workers: 1, Progress: func(Phase, int64, int64) {}}, report: &Report{}}
	if err := c.checkHome(); err != nil {
		return nil, err
	}
	l, err := c.checkChain()
	if err != nil {
		return nil, err
	}
	defer l.close()
	l.seals.sealedTime = sealed
	a := &archiveRun{c: c, judge: c.newJudge()}
	b, err := a.file(path, 4, false)
	if err != nil {
		return nil, err
	}
	err = a.onLedger(b, false)
	return a.broken, err
}

// ResealRun makes the checksums of a file of the index right, and its number.
func ResealRun(b []byte, number uint64) {
	binary.BigEndian.PutUint64(b[8:], number)
	for n := range uint64(len(b) / runBlock) {
		block := b[n*runBlock : (n+1)*runBlock]
		binary.BigEndian.PutUint32(block[runBlock-runTail:], runSum(block[:runBlock-runTail], n))
	}
}

// RunParts are the offsets of a file's ids, lists, filter and fences.
func RunParts(b []byte) (ids, lists, filter, fences uint64) {
	r := &indexRun{counts: [2]uint64{binary.BigEndian.Uint64(b[48:]), binary.BigEndian.Uint64(b[56:])}}
	return runBlock, runBlock * (1 + runBlocks(r.counts[0])), runBlock * r.filterAt(), runBlock * r.fencesAt()
}

// RunChecker checks bytes as if they stood in the first file of the home's index,
// whose path it returns.
func RunChecker(ctx context.Context, h Home) (path string, check func(data []byte) error, err error) {
	c := &checker{ctx: ctx, home: h, opt: Options{Workers: 1, Progress: func(Phase, int64, int64) {}}, report: &Report{}}
	if err := c.checkHome(); err != nil {
		return "", nil, err
	}
	l, err := c.checkChain()
	if err != nil {
		return "", nil, err
	}
	defer l.close()
	x, err := c.openIndex(c.data("archive", "index"))
	if err != nil || x.err != nil {
		return "", nil, errors.Join(err, x.err)
	}
	defer x.bodies.close()
	a := &archiveRun{c: c, judge: c.newJudge(), index: x}
	a.judge.index = x
	list, err := filepath.Glob(c.data("archive", "batches", "*", "*"))
	for _, path := range list {
		seq, _, _ := batchName(filepath.Base(path))
		_, ferr := a.file(path, seq, false)
		err = errors.Join(err, ferr)
	}
	good := x.runs[0]
	return good.path, func(data []byte) error {
		r := &indexRun{c: c, path: good.path, number: good.number, size: int64(len(data))}
		if len(data) < runBlock {
			return r.wrong("it has %d bytes", len(data))
		}
		if why := r.header(data); why != nil {
			return r.wrong("%v", why)
		}
		for i := range r.want {
			r.want[i].add(good.want[i].count.Load(), good.want[i].sum.Load())
		}
		r.wantLatest = good.wantLatest
		if err := r.read(bytes.NewReader(data), x.seed, func(int64) {}); err != nil {
			return err
		}
		return r.compare()
	}, err
}

// SipHash is exported for the vectors of the paper.
var SipHash = sipHash
