package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"qifeng/api/client"
	"qifeng/api/wire"
	"qifeng/proof"
)

func (a *app) anchorCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "anchor", Short: "锚定：联盟之外的见证 · Anchors: witnesses outside the consortium", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.anchorListCmd(), a.anchorRootsCmd(), a.anchorTestCmd(), a.anchorResumeCmd())
	return cmd
}

func (a *app) anchorListCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list",
		Short: "列出节点的锚定及其状况 · List a node's anchors and how they do",
		Long: `向节点询问每个锚定最新的大小、时间与错误；配置中有而节点没有的，重启节点后才会运行。有警报时退出码 1。
Asks the node for each anchor's newest size, its age and error; one that is configured and that
the node does not run needs a restart. Exit code 1 while there is an alarm.`,
		Example: example("qifeng anchor list --home ./court-a"),
		Args:    cobra.NoArgs,
		RunE: a.run(func(ctx context.Context, _ []string) error {
			ctx, cancel := context.WithTimeout(ctx, a.timeout)
			defer cancel()
			return a.anchorList(ctx)
		}),
	}
	a.homeFlag(cmd)
	a.apiFlag(cmd)
	a.jsonFlag(cmd)
	return cmd
}

func (a *app) anchorList(ctx context.Context) error {
	c, err := a.clientWith(client.Options{Attempts: 1})
	if err != nil {
		return err
	}
	st, err := c.Status(ctx)
	if err != nil {
		return err
	}
	alarm := false
	for _, x := range st.Anchors {
		alarm = alarm || x.Alarm != ""
	}
	if a.json {
		err = a.printJSON(st.Anchors)
	} else {
		a.printAnchorStatus(statusTime(st), st.Anchors)
		a.tellUnstarted(st.Anchors)
	}
	if err == nil && alarm {
		return quietExit(exitFailed)
	}
	return err
}

// statusTime is the node's clock in its answer.
func statusTime(st *wire.Status) time.Time {
	now, err := time.Parse(time.RFC3339, st.Time)
	if err != nil {
		return time.Now()
	}
	return now
}

// tellUnstarted names the anchors of the home that its node does not run yet.
func (a *app) tellUnstarted(running []wire.AnchorStatus) {
	if a.api != "" {
		return
	}
	cfg, err := a.home.config()
	if err != nil {
		return
	}
	for _, name := range cfg.anchorNames() {
		found := false
		for _, x := range running {
			found = found || x.Name == name && !x.Retired
		}
		if !found {
			a.say("%s：已配置，节点尚未运行它，请重启节点", "%s: configured, and not run by the node yet: restart it", name)
		}
	}
}

// printAnchorStatus prints a line or more for each anchor.
func (a *app) printAnchorStatus(now time.Time, list []wire.AnchorStatus) {
	if len(list) == 0 {
		a.say("锚定   没有", "anchors  none")
		return
	}
	a.say("锚定", "anchors")
	for _, x := range list {
		state := a.lang.T("尚未锚定", "nothing anchored yet")
		if x.Size > 0 {
			state = fmt.Sprintf(a.lang.T("至 %d，%s", "up to %d, %s"), x.Size, a.age(now, x.StoredAt))
		}
		if x.Retired {
			state += a.lang.T("（已停用）", " (not configured any more)")
		}
		fmt.Fprintf(a.out, "  %-16s %-8s %s\n", x.Name, x.Kind, state)
		if x.Hanging {
			a.say("       一次调用超时后仍未返回", "         a call has not returned after its deadline")
		}
		if x.Error != "" {
			a.say("       第 %d 次尝试失败：%s", "         attempt %d failed: %s", x.Attempts, x.Error)
		}
		if t, err := time.Parse(time.RFC3339, x.NextTry); err == nil && x.Error != "" {
			a.say("       %v 后再试", "         next try in %v", max(0, t.Sub(now).Round(time.Second)))
		}
		if x.Alarm != "" {
			a.say("       警报：%s", "         ALARM: %s", x.Alarm)
			a.say("       该锚定已停止。保留双方陈述，查明后运行 qifeng anchor resume %s", "         it stands still. Keep both statements, find out why, then: qifeng anchor resume %s", x.Name)
		}
	}
}

func (a *app) anchorResumeCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "resume NAME",
		Short: "查看警报之后恢复一个锚定 · Let an anchor go on after its alarm was looked at",
		Long: `警报说明见证持有总账的另一状态：这可能是分叉的证据。请先保留节点数据与日志，并与其他成员核对，再恢复。
双方陈述仍保存在节点中。写入成员目录即可，节点运行时一两秒内生效，否则下次启动时生效。
An alarm says that the witness holds another state of the ledger, which may be evidence of a fork.
Keep the node's data and log and compare with the other members first. Both statements stay in
the store. It is asked for through the home: a running node does it within seconds, one that is
stopped at its next start.`,
		Example: example("qifeng anchor resume tsa --home ./court-a"),
		Args:    cobra.ExactArgs(1),
		RunE: a.run(func(ctx context.Context, args []string) error {
			ctx, cancel := context.WithTimeout(ctx, a.timeout)
			defer cancel()
			return a.anchorResume(ctx, args[0])
		}),
	}
	a.homeFlag(cmd)
	a.timeoutFlag(cmd, 10*time.Second)
	return cmd
}

// anchorResume leaves the request in the home and waits for the node to take it.
func (a *app) anchorResume(ctx context.Context, name string) error {
	cfg, err := a.home.config()
	if err != nil {
		return &codeError{code: exitUsage, err: err}
	}
	if err := proof.CheckAnchorName(name); err != nil {
		return usagef("%w", err)
	}
	if !exists(a.home.path(filepath.Join(cfg.Data.Dir, anchorsDir))) {
		return usagef("%s has no anchors that ever ran", string(a.home))
	}
	if done, err := a.nothingToResume(ctx, name); done || err != nil {
		return err
	}
	dir := a.home.path(filepath.Join(cfg.Data.Dir, resumeDir))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	path := filepath.Join(dir, name)
	if err := replaceFile(path, []byte("resume\n"), 0o600); err != nil {
		return err
	}
	for exists(path) {
		select {
		case <-ctx.Done():
			a.say("请求已写入；节点没有运行，或请看其日志。它会在下次启动时恢复", "the request is written; the node does not run, or see its log. It will be done at the next start")
			return quietExit(exitNotProved)
		case <-time.After(pollEvery):
		}
	}
	a.say("%s 已恢复", "%s goes on", name)
	return nil
}

// nothingToResume asks the node, if it answers, whether there is an alarm to end.
func (a *app) nothingToResume(ctx context.Context, name string) (bool, error) {
	c, err := a.clientWith(client.Options{Attempts: 1})
	if err != nil {
		return false, nil
	}
	asking, cancel := context.WithTimeout(ctx, resumeAsk)
	defer cancel()
	st, err := c.Status(asking)
	if err != nil {
		return false, nil // the node is down, and takes the request at its start
	}
	var names []string
	for _, x := range st.Anchors {
		if x.Name != name {
			names = append(names, x.Name)
			continue
		}
		if x.Alarm == "" {
			a.say("%s 没有警报，无须恢复；其状况见 qifeng anchor list", "%s has no alarm to be ended; see qifeng anchor list for how it does", name)
		}
		return x.Alarm == "", nil
	}
	return false, usagef("the node has no anchor %s; it has: %s", name, strings.Join(names, ", "))
}

func (a *app) anchorRootsCmd() *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:   "roots",
		Short: "按配置生成锚定信任根 · Make the file of anchor roots from the configuration",
		Long: `从 [anchor.*] 生成 anchor-roots.json：时间戳机构的根证书（roots）、见证人的 vkey（key）、由网络读取的 Fabric 通道配置。
从网络读来的只是该网络的一面之词：请与其他成员核对所印的内容与指纹。已有的文件不会被替换，除非 --force；其中已停用的
锚定予以保留，其回执仍是证据。
Makes anchor-roots.json of the [anchor.*] tables: the root certificates of an authority (roots),
the vkey of a witness (key), and a Fabric channel's configuration as the network gives it. What
came from a network is its word alone: compare what is printed, and the fingerprint, with the
other members. An existing file is not replaced without --force; what it knows of anchors that are
not configured any more is kept, for their receipts go on being evidence.`,
		Example: example("qifeng anchor roots --home ./court-a"),
		Args:    cobra.NoArgs,
		RunE: a.run(func(ctx context.Context, _ []string) error {
			ctx, cancel := context.WithTimeout(ctx, a.timeout)
			defer cancel()
			return a.anchorRoots(ctx, force)
		}),
	}
	a.homeFlag(cmd)
	a.timeoutFlag(cmd, defaultTimeout)
	a.outFlag(cmd, "写入此文件，默认 [anchors] roots · file to write, default that of the configuration")
	cmd.Flags().BoolVar(&force, "force", false, "替换已有文件 · replace an existing file")
	return cmd
}

func (a *app) anchorRoots(ctx context.Context, force bool) error {
	cfg, err := a.home.config()
	if err != nil {
		return &codeError{code: exitUsage, err: err}
	}
	if len(cfg.Anchor) == 0 {
		return usagef("%s has no [anchor.NAME]: see the end of that file, and docs/anchors.md", a.home.path(configName))
	}
	cons, err := loadConsortium(a.home.path(genesisName))
	if err != nil {
		return &codeError{code: exitUsage, err: err}
	}
	out := a.outPath
	if out == "" {
		out = a.home.path(cfg.Anchors.Roots)
	}
	if exists(out) && !force {
		return usagef("%s exists and is not replaced without --force: courts may hold its fingerprint", out)
	}
	roots, err := a.makeRoots(ctx, cfg, cons.ChainID)
	if err != nil {
		return err
	}
	if err := a.keepRoots(roots, out, cfg); err != nil {
		return err
	}
	text, err := roots.Marshal()
	if err != nil {
		return err
	}
	given, err := parseRoots(text)
	if err != nil {
		return err
	}
	if err := replaceFile(out, text, 0o644); err != nil {
		return err
	}
	a.say("锚定信任根写入 %s，请与其他成员及法院核对指纹：", "anchor roots written to %s; compare the fingerprint with the other members and the court:", out)
	fmt.Fprintf(a.out, "  SM3     %x\n  SHA-256 %x\n", given.digest.SM3, given.digest.SHA256)
	return nil
}

// anchorHint adds to an error what an operator can do about it, where that is known.
func (a *app) anchorHint(err error) error {
	zh, en := hintFor(err)
	if zh == "" {
		return err
	}
	return errors.Join(err, errors.New(a.lang.T("如何处理："+zh, "how to mend it: "+en)))
}
