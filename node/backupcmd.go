package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"qifeng/backup"
	"qifeng/fsck"
)

func (a *app) backupCmd() *cobra.Command {
	var to string
	var without bool
	cmd := &cobra.Command{
		Use:   "backup",
		Short: "备份成员目录，节点可照常运行 · Back up a home while its node runs",
		Long: `把一个成员目录中在新磁盘上重建同一节点所需的一切复制到文件夹：配置、创世文件、策略、成员卡、密钥、
存证档案、锚定回执、查阅日志与作弊证明。链数据由其他成员保有，不复制。再次备份到同一文件夹只复制新内容；中断的备份不损坏上一份。
备份含有未加密的签名密钥：与成员目录一样保管。用 qifeng restore 恢复，切勿手工复制。
Copies what makes the same node again on a new disk: configuration, genesis, policy, card, keys,
the archive, the receipts of anchors, the log of look-ups and fraud proofs. The chain's data is left out: the other members
have it. A second backup into the same folder copies only what is new; one that is cut short leaves
the last one usable. The backup holds the signing keys, unencrypted: keep it as safe as the home.
Put it back with qifeng restore, never by hand.`,
		Example: example("qifeng backup --home ./vendor-a --to /mnt/backup/vendor-a"),
		Args:    cobra.NoArgs,
		RunE:    a.run(func(ctx context.Context, _ []string) error { return a.backup(ctx, to, without) }),
	}
	a.homeFlag(cmd)
	cmd.Flags().StringVar(&to, "to", "", "备份文件夹，应在另一块磁盘上 · folder of the backup, on another disk")
	cmd.Flags().BoolVar(&without, "without-keys", false, "不复制密钥；您须另有密钥的备份 · leave the keys out; you need another copy of them")
	must(cmd.MarkFlagRequired("to"))
	return cmd
}

func (a *app) restoreCmd() *cobra.Command {
	var from string
	var check bool
	cmd := &cobra.Command{
		Use:   "restore",
		Short: "从备份恢复成员目录 · Put a home back from a backup",
		Long: `检查备份中每个文件的摘要，把成员目录恢复到一个尚不存在或空的文件夹，并加上恢复标记：节点先追上其他成员，
其他成员再出一块之后才投票和会签，因此不会重复签名；存证档案从丢失的批次之后继续，并列出丢失的批次。
启动之前请确认原来的节点已不再运行：同一成员绝不可同时运行两个节点。
Checks the digests of every file, puts the home back into a folder that is new or empty, and marks
it as restored: its node votes and seals nothing until it has caught up and the others have made one
block more, so nothing is signed twice; its archive goes on behind what was lost and names it. Before
you start it make sure that the earlier node does not run any more: two nodes of one member must
never run at once.`,
		Example: example("qifeng restore --from /mnt/backup/vendor-a --home ./vendor-a",
			"qifeng restore --from /mnt/backup/vendor-a --check"),
		Args: cobra.NoArgs,
		RunE: a.run(func(ctx context.Context, _ []string) error {
			if check {
				return a.checkBackup(ctx, from)
			}
			return a.restore(ctx, from)
		}),
	}
	cmd.Flags().StringVar(&from, "from", "", "备份文件夹 · folder of the backup")
	cmd.Flags().StringVar((*string)(&a.home), "home", "", "要建立的成员目录，不可已存在 · the home to be made; it must not exist")
	cmd.Flags().BoolVar(&check, "check", false, "只检查备份，不恢复 · only check the backup")
	must(cmd.MarkFlagRequired("from"))
	cmd.MarkFlagsOneRequired("home", "check")
	cmd.MarkFlagsMutuallyExclusive("home", "check")
	return cmd
}

// must is for the misspelt name of a flag.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

// backup backs the home up.
func (a *app) backup(ctx context.Context, to string, without bool) error {
	cfg, err := a.home.config()
	if err != nil {
		return &codeError{code: exitUsage, err: err}
	}
	cons, err := homeConsortium(a.home, cfg)
	if err != nil {
		return err
	}
	src := backupSource(a.home, cfg, cons.ChainID)
	if err := src.Target(to); err != nil {
		return &codeError{code: exitUsage, err: err}
	}
	if err := os.MkdirAll(to, 0o700); err != nil {
		return err
	}
	unlock, err := lockDir(to)
	if err != nil {
		return err
	}
	defer unlock()
	bar := a.byteBar(a.lang.T("备份", "backup"))
	defer bar.close()
	r, err := backup.Take(ctx, src, to, backup.Options{WithoutKeys: without, Progress: bar.tell})
	if err != nil {
		return err
	}
	bar.close()
	a.say("已备份 %s（链 %s）到 %s：%d 个文件 %d 字节，其中新复制 %d 个 %d 字节", "backed up %s of chain %s to %s: %d files with %d bytes, of them %d new with %d bytes",
		r.Node, r.Chain, to, len(r.Files), r.Bytes(), r.New, r.NewBytes)
	a.say("清单的 SM3：%x", "SM3 of the manifest: %x", r.Digest.SM3)
	if r.Kept > 0 {
		a.say("注意：成员目录已没有此前备份的 %d 个批次，备份继续保有它们", "NOTE: the home does not have %d batches of earlier backups any more; the backup keeps them", r.Kept)
	}
	a.sayLeftOut(r.Manifest)
	if r.Keys {
		a.say("警告：备份含有未加密的签名密钥，谁读到它就能以 %s 的名义签名。请与成员目录一样保管", "WARNING: the backup holds the signing keys, unencrypted: whoever reads it can sign for %s. Keep it as safe as the home", r.Node)
	} else {
		a.say("注意：备份不含密钥；没有另存的密钥，恢复的成员目录不能启动", "NOTE: the backup holds no keys; without your own copy of them a restored home cannot start")
	}
	return nil
}

func (a *app) sayLeftOut(m *backup.Manifest) {
	for _, p := range m.LeftOut {
		a.say("未包含：%s", "not in it: %s", p)
	}
}

// backupSource lists the files of a home.
func backupSource(h home, cfg *Config, chainID string) backup.Source {
	src := backup.Source{Home: h.path("."), Data: h.path(cfg.Data.Dir), Chain: chainID, Node: cfg.Member.ID}
	add := func(path string, secret, optional bool) {
		p := filepath.ToSlash(filepath.Clean(path))
		switch {
		case path == "":
		case !filepath.IsLocal(path):
			src.Skip = append(src.Skip, path)
		case !slices.ContainsFunc(src.Files, func(i backup.Item) bool { return i.Path == p }): // anchors may share files
			src.Files = append(src.Files, backup.Item{Path: p, Secret: secret, Optional: optional})
		}
	}
	for _, p := range []string{configName, genesisName, policyName, cardName} {
		add(p, false, false)
	}
	k := &cfg.Keys
	for _, p := range []string{k.Intake, k.SealSM2, k.SealEd25519, k.Log, k.Consensus, k.Node} {
		add(p, true, false)
	}
	// The admin key is better kept elsewhere. Guard and last vote are no secrets,
	// and may be missing in a home that has lost them.
	for _, p := range []string{k.Admin, submitKey, readKey, cfg.API.TLSKey} {
		add(p, true, true)
	}
	// What the anchors need. The key with which the node witnesses other logs is in no
	// backup: put back, it could cosign two histories.
	add(cfg.Anchors.Roots, false, true)
	add(cfg.Witness.Logs, false, true)
	for _, name := range cfg.anchorNames() {
		c := cfg.Anchor[name]
		plain, secret := c.files()
		add(c.Roots, false, true)
		for _, f := range plain {
			if f.name != "sdk_program" { // a program of the machine's
				add(f.value, false, true)
			}
		}
		for _, f := range secret {
			add(f.value, true, true)
		}
	}
	for _, p := range []string{k.Guard, strings.TrimSuffix(k.Consensus, ".json") + ".last-signed.json", cfg.API.TLSCert} {
		add(p, false, true)
	}
	return src
}

// checkBackup holds every file of a backup against its manifest.
func (a *app) checkBackup(ctx context.Context, from string) error {
	b, err := backup.Open(from)
	if err != nil {
		return err
	}
	defer b.Close()
	bar := a.byteBar(a.lang.T("检查", "check"))
	defer bar.close()
	if err := b.Check(ctx, bar.tell); err != nil {
		return err
	}
	bar.close()
	a.sayBackup(b)
	a.say("每个文件都与清单相符", "every file is what the manifest says")
	return nil
}

func (a *app) sayBackup(b *backup.Backup) {
	a.say("备份：节点 %s，链 %s，备份于 %s，%d 个文件 %d 字节", "backup of node %s of chain %s, taken at %s, %d files with %d bytes",
		b.Node, b.Chain, b.Taken.UTC().Format(time.RFC3339), len(b.Files), b.Bytes())
}

// restore puts a home back.
func (a *app) restore(ctx context.Context, from string) error {
	b, err := backup.Open(from)
	if err != nil {
		return err
	}
	defer b.Close()
	a.sayBackup(b)
	raw, err := b.Read("home/" + configName)
	if err != nil {
		return err
	}
	cfg, err := ParseConfig(raw)
	if err != nil {
		return fmt.Errorf("%s of the backup: %w", configName, err)
	}
	bar := a.byteBar(a.lang.T("恢复", "restore"))
	defer bar.close()
	if err := b.Restore(ctx, a.home.path("."), a.home.path(cfg.Data.Dir), "home/"+configName, bar.tell); err != nil {
		return err
	}
	bar.close()
	a.say("已恢复到 %s，并标记为恢复的目录", "put back into %s, and marked as restored", string(a.home))
	a.sayLeftOut(b.Manifest)
	if err := a.checkRestored(ctx, cfg, b.Keys && len(b.LeftOut) == 0); err != nil {
		return err
	}
	a.say("确认原来的节点不再运行之后：qifeng start --home %s", "once you are sure that the earlier node does not run any more: qifeng start --home %s", string(a.home))
	return nil
}

// checkRestored runs the checks of qifeng fsck on a home that was put back. There
// is no ledger in it yet, which the report says.
func (a *app) checkRestored(ctx context.Context, cfg *Config, all bool) error {
	if _, err := homeConsortium(a.home, cfg); err != nil {
		return err
	}
	if _, _, err := nodeKeys(a.home, cfg); !all && errors.Is(err, fs.ErrNotExist) {
		a.say("备份不含全部密钥：请先放回 %s 中 [keys] 所列的文件（权限 0600），再运行 qifeng fsck", "the backup does not hold all keys: first put back the files that [keys] in %s names, mode 0600, then run qifeng fsck", a.home.path(configName))
		return nil
	} else if err != nil {
		return err
	}
	show := a.fsckProgress()
	r := fsck.Check(ctx, fsckHome(a.home, cfg), fsck.Options{Progress: show.step})
	show.end()
	fmt.Fprint(a.out, r.Text(a.lang == Chinese))
	return quietExit(r.ExitCode())
}

// byteBar is a bar on standard error, where somebody sees it.
type byteBar struct {
	bar *progressbar.ProgressBar
}

func (a *app) byteBar(name string) *byteBar {
	f, ok := a.errw.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return &byteBar{}
	}
	return &byteBar{bar: progressbar.NewOptions64(1,
		progressbar.OptionSetWriter(io.Writer(f)),
		progressbar.OptionSetDescription(name),
		progressbar.OptionShowBytes(true),
		progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionClearOnFinish(),
	)}
}

// tell is what the work calls.
func (b *byteBar) tell(done, total int64) {
	if b.bar == nil {
		return
	}
	if total = max(total, 1); total != b.bar.GetMax64() {
		b.bar.ChangeMax64(total)
	}
	_ = b.bar.Set64(done) // a bar that cannot be drawn is no error
}

func (b *byteBar) close() {
	if b.bar != nil {
		_ = b.bar.Finish()
		b.bar = nil
	}
}
