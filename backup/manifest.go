package backup

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"qifeng/evidence/canon"
	"qifeng/proof/checkpoint"
	"qifeng/proof/merkle"
)

// Manifest says what a backup has.
type Manifest struct {
	Chain   string
	Node    string
	Taken   time.Time
	Set     string // folder of what can change
	Keys    bool   // the signing keys are in it
	Files   []File // by path
	LeftOut []string
}

// File is one file of a home.
type File struct {
	Path   string // home/… or data/…, with slashes
	Mode   fs.FileMode
	Size   int64
	Digest merkle.Digest
}

const (
	manifestHead = "qifeng-backup/v1\n"
	manifestName = "MANIFEST"
	identityName = "BACKUP"
	batchesDir   = "batches"
	setPrefix    = "set-"
	homePart     = "home/"
	dataPart     = "data/"
	archivePart  = dataPart + "archive/"
)

// batchName is the name of a closed batch's file, "" for any other file.
func (f File) batchName() string {
	rest, ok := strings.CutPrefix(f.Path, archivePart)
	if !ok || !strings.HasSuffix(rest, ".batch") || !strings.HasPrefix(rest, "outbox/") && !strings.HasPrefix(rest, "batches/") {
		return ""
	}
	return path.Base(rest)
}

// stored is where a file lies below the backup's folder.
func (m *Manifest) stored(f File) string {
	if name := f.batchName(); name != "" {
		return batchPlace(name)
	}
	return m.Set + "/" + f.Path
}

// batchPlace sorts batches in folders by the beginning of their numbers, as the
// archive does: 1000 names in each.
func batchPlace(name string) string {
	digits, _, _ := strings.Cut(name, "-")
	return path.Join(batchesDir, digits[:max(0, len(digits)-3)], name)
}

// batchSeq is the number in a batch's name.
func batchSeq(name string) string { digits, _, _ := strings.Cut(name, "-"); return digits }

func (m *Manifest) encode() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%schain %s\nnode %s\ntaken %s\nset %s\nkeys %s\n", manifestHead, m.Chain, m.Node,
		m.Taken.UTC().Format(canon.TimeLayout), m.Set, map[bool]string{true: "yes", false: "no"}[m.Keys])
	for _, f := range m.Files {
		fmt.Fprintf(&b, "file %04o %d %x %x %s\n", f.Mode.Perm(), f.Size, f.Digest.SM3, f.Digest.SHA256, f.Path)
	}
	for _, p := range m.LeftOut {
		fmt.Fprintf(&b, "left-out %s\n", p)
	}
	d := merkle.Sum(b.Bytes())
	fmt.Fprintf(&b, "sum %x %x\n", d.SM3, d.SHA256)
	return b.Bytes()
}

// parseManifest takes exactly what encode writes.
func parseManifest(raw []byte) (*Manifest, error) {
	rest, ok := strings.CutPrefix(string(raw), manifestHead)
	if !ok {
		return nil, errors.New("it is no manifest of version 1")
	}
	m := &Manifest{}
	n := 0
	for line := range strings.Lines(rest) {
		n++
		word, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		if err := m.line(word, value); err != nil {
			return nil, fmt.Errorf("line %d: %w", n+1, err)
		}
	}
	if err := m.check(); err != nil {
		return nil, err
	}
	if !bytes.Equal(m.encode(), raw) {
		return nil, errors.New("it is damaged: it does not have the digests that it states")
	}
	return m, nil
}

func (m *Manifest) line(word, value string) (err error) {
	switch word {
	case "chain":
		m.Chain = value
	case "node":
		m.Node = value
	case "taken":
		m.Taken, err = time.Parse(canon.TimeLayout, value)
	case "set":
		m.Set = value
	case "keys":
		m.Keys = value == "yes"
	case "file":
		var f File
		f, err = parseFile(value)
		m.Files = append(m.Files, f)
	case "left-out":
		m.LeftOut = append(m.LeftOut, value)
	case "sum":
	default:
		err = errors.New("it says nothing that is known")
	}
	return err
}

func parseFile(value string) (f File, err error) {
	part := strings.SplitN(value, " ", 5)
	if len(part) != 5 {
		return f, errors.New("a file has five fields")
	}
	mode, err1 := strconv.ParseUint(part[0], 8, 9)
	size, err2 := strconv.ParseInt(part[1], 10, 64)
	sm3, err3 := hex.DecodeString(part[2])
	sha, err4 := hex.DecodeString(part[3])
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return f, err
	}
	if len(sm3) != 32 || len(sha) != 32 || size < 0 {
		return f, errors.New("a size or a digest is none")
	}
	f = File{Path: part[4], Mode: fs.FileMode(mode), Size: size}
	copy(f.Digest.SM3[:], sm3)
	copy(f.Digest.SHA256[:], sha)
	return f, checkPath(f.Path)
}

// checkPath makes sure that a path stays below the folder that it belongs to.
func checkPath(p string) error {
	bad := !fs.ValidPath(p) || len(p) > maxPath || !utf8.ValidString(p) || strings.ContainsFunc(p, func(r rune) bool { return r == '\\' || !unicode.IsPrint(r) })
	if bad || !strings.HasPrefix(p, homePart) && !strings.HasPrefix(p, dataPart) {
		return fmt.Errorf("%q is no path of a home", p)
	}
	return nil
}

func (m *Manifest) check() error {
	if err := errors.Join(checkpoint.CheckChainID(m.Chain), checkpoint.CheckMemberID(m.Node)); err != nil {
		return err
	}
	if n, ok := strings.CutPrefix(m.Set, setPrefix); !ok || len(n) < 6 || strings.Trim(n, "0123456789") != "" {
		return fmt.Errorf("%q is no name of a set", m.Set)
	}
	for i := 1; i < len(m.Files); i++ {
		if m.Files[i-1].Path >= m.Files[i].Path {
			return fmt.Errorf("%s is out of order", m.Files[i].Path)
		}
	}
	return nil
}

func (m *Manifest) sort() {
	slices.SortFunc(m.Files, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
}

// find returns the file of a path.
func (m *Manifest) find(p string) (File, bool) {
	i, ok := slices.BinarySearchFunc(m.Files, p, func(f File, p string) int { return strings.Compare(f.Path, p) })
	if !ok {
		return File{}, false
	}
	return m.Files[i], true
}

// Bytes is the size of all files.
func (m *Manifest) Bytes() (n int64) {
	for _, f := range m.Files {
		n += f.Size
	}
	return n
}

// identity is the file BACKUP.
func identity(chain, node string) string {
	return fmt.Sprintf("%schain %s\nnode %s\n", manifestHead, chain, node)
}
