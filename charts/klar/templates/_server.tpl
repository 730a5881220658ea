{{/*
The Deployment of a process that serves: (dict "ctx" . "component" "api" "values" .Values.api "port" 3000).
Without a port nothing is routed to it.
*/}}
{{- define "klar.server" -}}
{{- $name := printf "%s-%s" (include "klar.fullname" .ctx) .component -}}
{{- $process := dict "ctx" .ctx "process" .component -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ $name }}
  labels:
    {{- include "klar.labels" . | nindent 4 }}
  annotations:
    # container-image-pull-policy: a digest, or a tag that is never given to another image, needs no pull at each start;
    # a registry that is away must not keep a pod from starting again.
    kube-score/ignore: container-image-pull-policy
spec:
  {{- if not .autoscaled }}
  replicas: {{ .values.replicas }}
  {{- end }}
  revisionHistoryLimit: 5
  progressDeadlineSeconds: 600
  minReadySeconds: {{ .values.minReadySeconds }}
  selector:
    matchLabels:
      {{- include "klar.selectorLabels" . | nindent 6 }}
  strategy:
    type: RollingUpdate
    rollingUpdate:
      # The old pods serve until the new ones do.
      maxUnavailable: 0
      maxSurge: 1
  template:
    metadata:
      labels:
        {{- include "klar.labels" . | nindent 8 }}
      annotations:
        {{- include "klar.configChecksum" $process | nindent 8 }}
        {{- with .values.podAnnotations }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
    spec:
      {{- include "klar.imagePullSecrets" .ctx | indent 6 }}
      serviceAccountName: {{ $name }}
      # Of all processes the controller alone talks to the Kubernetes API.
      automountServiceAccountToken: {{ eq .component "controller" }}
      enableServiceLinks: false
      terminationGracePeriodSeconds: {{ .values.terminationGracePeriodSeconds }}
      {{- with .values.priorityClassName }}
      priorityClassName: {{ . }}
      {{- end }}
      securityContext:
        {{- include "klar.podSecurityContext" .ctx | nindent 8 }}
      {{- include "klar.scheduling" . | nindent 6 }}
      containers:
        - name: {{ .component }}
          image: {{ include "klar.image" .ctx }}
          imagePullPolicy: {{ .ctx.Values.image.pullPolicy }}
          {{- /* It makes little garbage: a young generation of 32 MiB would be a third of its memory. The image has a compile cache for it. */}}
          args: [{{ if eq .component "controller" }}--max-semi-space-size=2, {{ end }}services/{{ .component }}/main.ts]
          envFrom:
            {{- include "klar.envFrom" $process | nindent 12 }}
          env:
            {{- include "klar.commonEnv" $process | nindent 12 }}
            {{- if eq .component "controller" }}
            - name: KLAR_CONTROLLER_NAME
              value: {{ include "klar.fullname" .ctx }}
            - name: KLAR_POD_SELECTOR
              value: app.kubernetes.io/name=klar,app.kubernetes.io/instance={{ .ctx.Release.Name }}
            {{- with include "klar.rotationEnv" .ctx }}
            {{- . | nindent 12 }}
            {{- end }}
            {{- with include "klar.livekitKeyClaim" .ctx }}
            - name: LIVEKIT_KEY_FILE
              value: /etc/klar/livekit/keys.yaml
            {{- end }}
            {{- else }}
            - name: KLAR_FLAGS_FILE
              value: /etc/klar/flags/live.json
            {{- end }}
          ports:
            {{- if .port }}
            - name: http
              containerPort: {{ .port }}
            {{- end }}
            - name: admin
              containerPort: 9090
          # A start takes about two seconds; on a machine that is busy it may take long, and must not be ended for that.
          startupProbe:
            httpGet:
              path: /livez
              port: admin
            periodSeconds: 1
            timeoutSeconds: 5
            failureThreshold: {{ .values.startupSeconds }}
          readinessProbe:
            httpGet:
              path: /readyz
              port: admin
            periodSeconds: 5
            timeoutSeconds: 5
            failureThreshold: 3
          # The event loop turns: never asks the database, as a database that is away gets no better by restarts here.
          livenessProbe:
            httpGet:
              path: /livez
              port: admin
            periodSeconds: 10
            timeoutSeconds: 5
            failureThreshold: 6
          resources:
            {{- toYaml .values.resources | nindent 12 }}
          securityContext:
            {{- include "klar.containerSecurityContext" .ctx | nindent 12 }}
          volumeMounts:
            {{- include "klar.secretsMount" .ctx | nindent 12 }}
            {{- if ne .component "controller" }}
            - name: flags
              mountPath: /etc/klar/flags
              readOnly: true
            {{- else if include "klar.rotates" .ctx }}
            - name: rotation
              mountPath: /etc/klar/rotation
              readOnly: true
            {{- if include "klar.livekitKeyClaim" .ctx }}
            - name: livekit-keys
              mountPath: /etc/klar/livekit
            {{- end }}
            {{- end }}
            - name: tmp
              mountPath: /tmp
      volumes:
        {{- include "klar.secretsVolume" $process | nindent 8 }}
        {{- if ne .component "controller" }}
        # What the controller wrote last: for the start, and while the database is away. A folder, as a subPath never changes.
        - name: flags
          configMap:
            name: {{ include "klar.fullname" .ctx }}-flags
            optional: true
        {{- else if include "klar.rotates" .ctx }}
        - name: rotation
          configMap:
            name: {{ include "klar.fullname" .ctx }}-rotation
            optional: true
        {{- with include "klar.livekitKeyClaim" .ctx }}
        - name: livekit-keys
          persistentVolumeClaim:
            claimName: {{ . }}
        {{- end }}
        {{- end }}
        - name: tmp
          emptyDir:
            sizeLimit: 64Mi
{{- end -}}

{{/* The claim of livekit-server's key file, where a rotation writes it. */}}
{{- define "klar.livekitKeyClaim" -}}
{{- if include "klar.rotates" . }}{{ .Values.controller.rotation.livekitKeyClaim }}{{ end -}}
{{- end -}}

{{/* Where pods go: (dict "ctx" . "component" "api" "values" .Values.api). */}}
{{- define "klar.scheduling" -}}
topologySpreadConstraints:
  {{- range $key, $when := dict "kubernetes.io/hostname" .ctx.Values.topologySpread.hosts "topology.kubernetes.io/zone" .ctx.Values.topologySpread.zones }}
  - maxSkew: 1
    topologyKey: {{ $key }}
    whenUnsatisfiable: {{ $when }}
    # A cordoned node is no place to spread to: without this a drain would leave pods that fit nowhere.
    nodeTaintsPolicy: Honor
    labelSelector:
      matchLabels:
        {{- include "klar.selectorLabels" (dict "ctx" $.ctx "component" $.component) | nindent 8 }}
    # The pods of the release that goes do not count.
    matchLabelKeys: [pod-template-hash]
  {{- end }}
{{- with .values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* What every process has beside its pods: (dict "ctx" . "component" "api"). */}}
{{- define "klar.serviceAccount" -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ include "klar.fullname" .ctx }}-{{ .component }}
  labels:
    {{- include "klar.labels" . | nindent 4 }}
# Only the controller's pods ask for one, themselves.
automountServiceAccountToken: false
{{- end -}}

{{- define "klar.configMap" -}}
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ include "klar.fullname" .ctx }}-{{ .process }}
  labels:
    {{- include "klar.labels" (dict "ctx" .ctx "component" .process) | nindent 4 }}
data:
  {{- include "klar.configData" . | trim | nindent 2 }}
{{- end -}}

{{/* (dict "ctx" . "component" "api" "port" 3000) */}}
{{- define "klar.service" -}}
apiVersion: v1
kind: Service
metadata:
  name: {{ include "klar.fullname" .ctx }}-{{ .component }}
  labels:
    {{- include "klar.labels" . | nindent 4 }}
spec:
  selector:
    {{- include "klar.selectorLabels" . | nindent 4 }}
  ports:
    - name: http
      port: {{ .port }}
      targetPort: http
{{- end -}}

{{/* One pod at a time may go; for a single one there is nothing that could be kept. (dict "ctx" . "component" "api" "least" 2) */}}
{{- define "klar.podDisruptionBudget" -}}
{{- if and .ctx.Values.podDisruptionBudgets.enabled (gt (int .least) 1) -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ include "klar.fullname" .ctx }}-{{ .component }}
  labels:
    {{- include "klar.labels" . | nindent 4 }}
spec:
  maxUnavailable: 1
  # A pod that is not ready serves nobody, and must not hold up the drain of its node.
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels:
      {{- include "klar.selectorLabels" . | nindent 6 }}
{{- end -}}
{{- end -}}

{{/* (dict "ctx" . "component" "api" "values" .Values.api) */}}
{{- define "klar.autoscaler" -}}
{{- with .values.autoscaling -}}
{{- if .enabled -}}
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: {{ include "klar.fullname" $.ctx }}-{{ $.component }}
  labels:
    {{- include "klar.labels" $ | nindent 4 }}
spec:
  scaleTargetRef:
    apiVersion: apps/v1
    kind: Deployment
    name: {{ include "klar.fullname" $.ctx }}-{{ $.component }}
  minReplicas: {{ .minReplicas }}
  maxReplicas: {{ .maxReplicas }}
  metrics:
    - type: Resource
      resource:
        name: cpu
        target:
          type: Utilization
          averageUtilization: {{ .targetCPUUtilizationPercentage }}
  behavior:
    scaleUp:
      stabilizationWindowSeconds: 0
      policies:
        - type: Percent
          value: 100
          periodSeconds: 15
        - type: Pods
          value: 2
          periodSeconds: 15
      selectPolicy: Max
    scaleDown:
      stabilizationWindowSeconds: {{ .scaleDownSeconds }}
      policies:
        - type: Pods
          value: 1
          periodSeconds: 15
{{- end -}}
{{- end -}}
{{- end -}}
