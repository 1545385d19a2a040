package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	core "k8s.io/api/core/v1"
	storage "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	storagelisters "k8s.io/client-go/listers/storage/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
)

const (
	provisionerName        = "taskorchestrator.dev/local-volumes"
	provisionedBy          = "pv.kubernetes.io/provisioned-by"
	storageProvisioner     = "volume.kubernetes.io/storage-provisioner"
	retryInterval          = 2 * time.Second
	callTimeout            = 10 * time.Second
	directoryMode          = 0o755
	generatedVolumePrefix  = "pvc-"
	healthReadHeaderWindow = 5 * time.Second
)

// volumes makes a folder of this machine for each claim of our storage class and removes it with
// the claim. The controller-manager has such a provisioner (kubernetes.io/host-path), but its
// folders lie in /tmp, belong to root with mode 0750 and ignore fsGroup, so that a container
// which does not run as root cannot write. A "local" volume honours fsGroup as a cloud disk does.
type volumes struct {
	client  kubernetes.Interface
	folder  string
	node    string
	claims  corelisters.PersistentVolumeClaimLister
	volumes corelisters.PersistentVolumeLister
	classes storagelisters.StorageClassLister
}

func newVolumesCommand() *cobra.Command {
	var kubeconfig, folder, node, health string
	command := &cobra.Command{
		Use:           "volumes",
		Short:         "Provision local volumes for persistent volume claims",
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(*cobra.Command, []string) error {
			ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
			defer stop()
			return runVolumes(ctx, kubeconfig, folder, node, health)
		},
	}
	command.Flags().StringVar(&kubeconfig, "kubeconfig", "", "how to reach the cluster")
	command.Flags().StringVar(&folder, "folder", "", "where the volumes' folders are made")
	command.Flags().StringVar(&node, "node", "", "name of this node")
	command.Flags().StringVar(&health, "health-address", "127.0.0.1:10260", "address of /healthz")
	return command
}

func runVolumes(ctx context.Context, kubeconfig, folder, node, health string) error {
	if !filepath.IsAbs(folder) || node == "" {
		return errors.New("--folder must be an absolute path and --node must be given")
	}
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return fmt.Errorf("read %s: %w", kubeconfig, err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	factory := informers.NewSharedInformerFactory(client, 0)
	v := &volumes{
		client:  client,
		folder:  folder,
		node:    node,
		claims:  factory.Core().V1().PersistentVolumeClaims().Lister(),
		volumes: factory.Core().V1().PersistentVolumes().Lister(),
		classes: factory.Storage().V1().StorageClasses().Lister(),
	}
	changed := make(chan struct{}, 1)
	factory.Core().V1().PersistentVolumeClaims().Informer().AddEventHandler(notify(changed))
	factory.Core().V1().PersistentVolumes().Informer().AddEventHandler(notify(changed))
	factory.Storage().V1().StorageClasses().Informer()
	go serveHealth(health)
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	return v.run(ctx, changed)
}

func serveHealth(address string) {
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	server := &http.Server{Addr: address, Handler: mux, ReadHeaderTimeout: healthReadHeaderWindow}
	if err := server.ListenAndServe(); err != nil {
		klog.ErrorS(err, "Health cannot be served", "address", address)
		os.Exit(1)
	}
}

// notify wakes the loop; a wake-up that is already waiting is enough.
func notify(changed chan<- struct{}) cache.ResourceEventHandler {
	wake := func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { wake() },
		UpdateFunc: func(any, any) { wake() },
		DeleteFunc: func(any) { wake() },
	}
}

// run looks at everything after each change: a node has dozens of volumes, not thousands, and
// whatever was missed while this process was away is found the same way.
func (v *volumes) run(ctx context.Context, changed <-chan struct{}) error {
	retry := time.NewTicker(retryInterval)
	defer retry.Stop()
	for {
		if err := v.reconcile(ctx); err != nil {
			klog.ErrorS(err, "Some volumes are not as asked; trying again", "seconds", retryInterval.Seconds())
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-retry.C:
		}
	}
}

func (v *volumes) reconcile(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	claims, err := v.claims.List(labels.Everything())
	if err != nil {
		return err
	}
	existing, err := v.volumes.List(labels.Everything())
	if err != nil {
		return err
	}
	var failures []error
	for _, claim := range claims {
		if isWaitingForUs(claim) {
			failures = append(failures, v.provision(ctx, claim))
		}
	}
	for _, volume := range existing {
		if isReleased(volume) {
			failures = append(failures, v.remove(ctx, volume))
		}
	}
	return errors.Join(failures...)
}

// isWaitingForUs: the controller-manager writes the annotation when it is our turn, for a class
// that waits for its first consumer only once the scheduler chose a node.
func isWaitingForUs(claim *core.PersistentVolumeClaim) bool {
	return claim.Annotations[storageProvisioner] == provisionerName &&
		claim.Spec.VolumeName == "" && claim.DeletionTimestamp == nil
}

func isReleased(volume *core.PersistentVolume) bool {
	return volume.Annotations[provisionedBy] == provisionerName &&
		volume.Status.Phase == core.VolumeReleased &&
		volume.Spec.PersistentVolumeReclaimPolicy == core.PersistentVolumeReclaimDelete &&
		volume.DeletionTimestamp == nil
}

func (v *volumes) provision(ctx context.Context, claim *core.PersistentVolumeClaim) error {
	name := generatedVolumePrefix + string(claim.UID)
	if _, err := v.volumes.Get(name); err == nil {
		return nil // made already; the controller-manager has yet to bind it
	}
	class, err := v.classes.Get(*claim.Spec.StorageClassName)
	if err != nil {
		return err
	}
	path := filepath.Join(v.folder, name)
	if err := os.MkdirAll(path, directoryMode); err != nil {
		return err
	}
	_, err = v.client.CoreV1().PersistentVolumes().Create(ctx, v.volumeFor(claim, class, path), meta.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("create volume %s: %w", name, err)
	}
	klog.InfoS("Provisioned", "claim", klog.KObj(claim), "folder", path)
	return nil
}

func (v *volumes) volumeFor(claim *core.PersistentVolumeClaim, class *storage.StorageClass, path string) *core.PersistentVolume {
	mode := core.PersistentVolumeFilesystem
	return &core.PersistentVolume{
		ObjectMeta: meta.ObjectMeta{
			Name:        filepath.Base(path),
			Annotations: map[string]string{provisionedBy: provisionerName},
		},
		Spec: core.PersistentVolumeSpec{
			AccessModes:                   claim.Spec.AccessModes,
			Capacity:                      core.ResourceList{core.ResourceStorage: claim.Spec.Resources.Requests[core.ResourceStorage]},
			ClaimRef:                      &core.ObjectReference{APIVersion: "v1", Kind: "PersistentVolumeClaim", Namespace: claim.Namespace, Name: claim.Name, UID: claim.UID},
			NodeAffinity:                  v.onThisNode(),
			PersistentVolumeReclaimPolicy: *class.ReclaimPolicy,
			PersistentVolumeSource:        core.PersistentVolumeSource{Local: &core.LocalVolumeSource{Path: path}},
			StorageClassName:              class.Name,
			VolumeMode:                    &mode,
		},
	}
}

func (v *volumes) onThisNode() *core.VolumeNodeAffinity {
	return &core.VolumeNodeAffinity{Required: &core.NodeSelector{NodeSelectorTerms: []core.NodeSelectorTerm{{
		MatchExpressions: []core.NodeSelectorRequirement{{
			Key: core.LabelHostname, Operator: core.NodeSelectorOpIn, Values: []string{v.node},
		}},
	}}}}
}

func (v *volumes) remove(ctx context.Context, volume *core.PersistentVolume) error {
	local := volume.Spec.Local
	// Whoever may edit a PersistentVolume must not thereby choose what is deleted here.
	if local == nil || filepath.Dir(local.Path) != v.folder || !strings.HasPrefix(filepath.Base(local.Path), generatedVolumePrefix) {
		return fmt.Errorf("volume %s is not in %s; delete it by hand", volume.Name, v.folder)
	}
	if err := os.RemoveAll(local.Path); err != nil {
		return err
	}
	err := v.client.CoreV1().PersistentVolumes().Delete(ctx, volume.Name, meta.DeleteOptions{Preconditions: &meta.Preconditions{UID: &volume.UID}})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete volume %s: %w", volume.Name, err)
	}
	klog.InfoS("Removed", "volume", volume.Name, "folder", local.Path)
	return nil
}
