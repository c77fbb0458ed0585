package archive

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"sort"
	"strings"
)

// CopyKind says how a file of an archive's folder may be copied while the archive
// is open.
type CopyKind int

const (
	// CopyJournal: it grows, and its whole frames are what was made durable so
	// far ([WholeFrames]). It may be gone, which means that it has become a Batch.
	CopyJournal CopyKind = iota + 1
	// CopyBatch: it never changes. Its last element names it for ever; it may be
	// gone from the outbox, and then it is in batches, which come later.
	CopyBatch
	// CopyLost: what a restored archive put aside, and its list, which is only
	// replaced whole.
	CopyLost
)

// CopyFile is a file that a backup copies, by its path below the folder.
type CopyFile struct {
	Path string
	Seq  uint64 // of a journal or batch, else 0
	Kind CopyKind
}

// CopyFiles tells of every file of an archive's folder that is not derived, in
// the order journal, outbox, batches. Files move only that way, by rename, so one
// that is gone when visit opens it comes again later, and none is missed while
// the archive works.
func CopyFiles(root *os.Root, visit func(CopyFile) error) error {
	for _, dir := range []struct {
		name, suffix string
		kind         CopyKind
	}{{journalDir, ".journal", CopyJournal}, {outboxDir, ".batch", CopyBatch}} {
		if err := copyDir(root, dir.name, dir.suffix, dir.kind, visit); err != nil {
			return err
		}
	}
	folders, err := listRoot(root, batchesDir)
	if err != nil {
		return err
	}
	for _, folder := range folders {
		if err := copyDir(root, path.Join(batchesDir, folder), ".batch", CopyBatch, visit); err != nil {
			return err
		}
	}
	return copyDir(root, lostDir, "", CopyLost, visit)
}

func copyDir(root *os.Root, dir, suffix string, kind CopyKind, visit func(CopyFile) error) error {
	names, err := listRoot(root, dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if strings.HasSuffix(name, tmpSuffix) {
			continue // never promised to anyone
		}
		f := CopyFile{Path: path.Join(dir, name), Kind: kind}
		if suffix != "" {
			if f.Seq, err = seqOfName(name, suffix); err != nil {
				return err
			}
		}
		if err := visit(f); err != nil {
			return err
		}
	}
	return nil
}

// listRoot lists a folder; one that is not there is empty.
func listRoot(root *os.Root, dir string) ([]string, error) {
	d, err := root.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("listing the archive: %w", err)
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("listing the archive: %w", err)
	}
	sort.Strings(names)
	return names, nil
}

// WholeFrames is how many bytes at the beginning of a journal are whole frames.
// Whatever is appended later, these bytes never change. It checks the checksums
// of the frames and nothing that is in them.
func WholeFrames(r io.ReaderAt, size int64, seq uint64) (int64, error) {
	good := int64(len(filePreface))
	if size < good {
		return 0, errors.New("the file is too short for a journal")
	}
	for good < size {
		payload, err := readFrame(r, size, seq, good, maxFooterPayload)
		var bad *badFrame
		if errors.As(err, &bad) {
			break
		}
		if err != nil {
			return 0, err
		}
		good += frameSize(len(payload))
	}
	if good == int64(len(filePreface)) {
		return 0, errors.New("the journal has no opening")
	}
	return good, nil
}
