#include "services/gateway/identity/identity_service.h"

#include <utility>

#include "common/crypto/hash.h"
#include "common/names/names.h"
#include "common/proto_time/proto_time.h"
#include "fmt/format.h"
#include "services/gateway/api/pages.h"

// Tenants and projects; keys are in identity_keys.cc.
namespace slipway::gateway {
namespace {

constexpr size_t kMaxRequestId = 128;

v1::Tenant::State ToProto(TenantState state) {
  switch (state) {
    case TenantState::kActive:
      return v1::Tenant::ACTIVE;
    case TenantState::kSuspended:
      return v1::Tenant::SUSPENDED;
    case TenantState::kDeleting:
      return v1::Tenant::DELETING;
    case TenantState::kDeleted:
      return v1::Tenant::DELETED;
  }
  return v1::Tenant::STATE_UNSPECIFIED;
}

v1::Tenant ToProto(const TenantRecord& tenant) {
  v1::Tenant out;
  out.set_name(TenantName{tenant.id}.ToString());
  out.set_display_name(tenant.display_name);
  out.set_state(ToProto(tenant.state));
  *out.mutable_create_time() = ToTimestamp(tenant.create_time);
  return out;
}

v1::Project ToProto(const ProjectRecord& project) {
  v1::Project out;
  out.set_name(ProjectName{project.tenant, project.id}.ToString());
  out.set_display_name(project.display_name);
  out.set_state(project.archive_time ? v1::Project::ARCHIVED : v1::Project::ACTIVE);
  *out.mutable_create_time() = ToTimestamp(project.create_time);
  if (project.archive_time) *out.mutable_archive_time() = ToTimestamp(*project.archive_time);
  return out;
}

}  // namespace

absl::Status CheckText(std::string_view field, std::string_view text, size_t max) {
  if (text.size() <= max) return absl::OkStatus();
  return InvalidField(field, fmt::format("must have at most {} bytes, has {}", max, text.size()));
}

IdentityService::IdentityService(SqlIdentityStore& store, KeyFeed& feed, const Peppers& peppers,
                                 std::string environment, const Clock& clock)
    : store_(store),
      feed_(feed),
      peppers_(peppers),
      environment_(std::move(environment)),
      clock_(clock) {}

void IdentityService::AddTo(LocalMethods& methods) {
  AddTenantsTo(methods);
  AddKeysTo(methods);
}

void IdentityService::AddTenantsTo(LocalMethods& methods) {
  const std::string tenants = "slipway.gateway.v1.TenantService/";
  methods.Add<v1::CreateTenantRequest, v1::Tenant>(
      tenants + "CreateTenant",
      [this](const Principal&, const auto& request) { return CreateTenant(request); });
  methods.Add<v1::GetTenantRequest, v1::Tenant>(
      tenants + "GetTenant",
      [this](const Principal&, const auto& request) { return GetTenant(request); });
  methods.Add<v1::ListTenantsRequest, v1::ListTenantsResponse>(
      tenants + "ListTenants",
      [this](const Principal&, const auto& request) { return ListTenants(request); });
  methods.Add<v1::UpdateTenantRequest, v1::Tenant>(
      tenants + "UpdateTenant",
      [this](const Principal&, const auto& request) { return UpdateTenant(request); });
  methods.Add<v1::SuspendTenantRequest, v1::Tenant>(
      tenants + "SuspendTenant",
      [this](const Principal&, const auto& request) { return SuspendTenant(request); });
  methods.Add<v1::ResumeTenantRequest, v1::Tenant>(
      tenants + "ResumeTenant",
      [this](const Principal&, const auto& request) { return ResumeTenant(request); });
  const std::string projects = "slipway.gateway.v1.ProjectService/";
  methods.Add<v1::CreateProjectRequest, v1::Project>(
      projects + "CreateProject",
      [this](const Principal&, const auto& request) { return CreateProject(request); });
  methods.Add<v1::GetProjectRequest, v1::Project>(
      projects + "GetProject",
      [this](const Principal&, const auto& request) { return GetProject(request); });
  methods.Add<v1::ListProjectsRequest, v1::ListProjectsResponse>(
      projects + "ListProjects",
      [this](const Principal&, const auto& request) { return ListProjects(request); });
  methods.Add<v1::ArchiveProjectRequest, v1::Project>(
      projects + "ArchiveProject",
      [this](const Principal&, const auto& request) { return ArchiveProject(request); });
}

absl::StatusOr<v1::Tenant> IdentityService::CreateTenant(const v1::CreateTenantRequest& request) {
  RETURN_IF_ERROR(CheckSlug("tenantId", request.tenant_id()));
  RETURN_IF_ERROR(CheckText("displayName", request.tenant().display_name(), kMaxDisplayName));
  RETURN_IF_ERROR(CheckText("requestId", request.request_id(), kMaxRequestId));
  TenantRecord tenant{.id = request.tenant_id(),
                      .display_name = request.tenant().display_name(),
                      .state = TenantState::kActive,
                      .create_time = clock_.Now()};
  const std::string hash =
      Sha256Hex(fmt::format("{}\n{}", request.tenant_id(), request.tenant().display_name()));
  ASSIGN_OR_RETURN(tenant, store_.CreateTenant(tenant, request.request_id(), hash));
  RETURN_IF_ERROR(feed_.Refresh());
  return gateway::ToProto(tenant);
}

absl::StatusOr<v1::Tenant> IdentityService::GetTenant(const v1::GetTenantRequest& request) {
  ASSIGN_OR_RETURN(const TenantName name, TenantName::Parse("name", request.name()));
  ASSIGN_OR_RETURN(const TenantRecord tenant, store_.GetTenant(name.tenant));
  return gateway::ToProto(tenant);
}

absl::StatusOr<v1::ListTenantsResponse> IdentityService::ListTenants(
    const v1::ListTenantsRequest& request) {
  ASSIGN_OR_RETURN(const Page page, Page::Read(request.page_size(), request.page_token()));
  ASSIGN_OR_RETURN(auto tenants, store_.ListTenants(page.after, page.size + 1));
  v1::ListTenantsResponse response;
  page.Fill(
      std::move(tenants), response,
      [&](const TenantRecord& tenant) { *response.add_tenants() = gateway::ToProto(tenant); },
      [](const TenantRecord& tenant) { return tenant.id; });
  return response;
}

absl::StatusOr<v1::Tenant> IdentityService::UpdateTenant(const v1::UpdateTenantRequest& request) {
  ASSIGN_OR_RETURN(const TenantName name, TenantName::Parse("name", request.tenant().name()));
  RETURN_IF_ERROR(CheckText("displayName", request.tenant().display_name(), kMaxDisplayName));
  ASSIGN_OR_RETURN(const TenantRecord tenant,
                   store_.RenameTenant(name.tenant, request.tenant().display_name()));
  return gateway::ToProto(tenant);
}

absl::StatusOr<v1::Tenant> IdentityService::SuspendTenant(const v1::SuspendTenantRequest& request) {
  return SetState(request.name(), TenantState::kSuspended);
}

absl::StatusOr<v1::Tenant> IdentityService::ResumeTenant(const v1::ResumeTenantRequest& request) {
  return SetState(request.name(), TenantState::kActive);
}

absl::StatusOr<v1::Tenant> IdentityService::SetState(const std::string& name, TenantState state) {
  ASSIGN_OR_RETURN(const TenantName parsed, TenantName::Parse("name", name));
  ASSIGN_OR_RETURN(const TenantRecord tenant, store_.SetTenantState(parsed.tenant, state));
  RETURN_IF_ERROR(feed_.Refresh());
  return gateway::ToProto(tenant);
}

absl::StatusOr<v1::Project> IdentityService::CreateProject(
    const v1::CreateProjectRequest& request) {
  ASSIGN_OR_RETURN(const TenantName tenant, TenantName::Parse("parent", request.parent()));
  RETURN_IF_ERROR(CheckSlug("projectId", request.project_id()));
  RETURN_IF_ERROR(CheckText("displayName", request.project().display_name(), kMaxDisplayName));
  const ProjectRecord project{.tenant = tenant.tenant,
                              .id = request.project_id(),
                              .display_name = request.project().display_name(),
                              .create_time = clock_.Now(),
                              .archive_time = std::nullopt};
  RETURN_IF_ERROR(store_.CreateProject(project));
  return gateway::ToProto(project);
}

absl::StatusOr<v1::Project> IdentityService::GetProject(const v1::GetProjectRequest& request) {
  ASSIGN_OR_RETURN(const ProjectName name, ProjectName::Parse("name", request.name()));
  ASSIGN_OR_RETURN(const ProjectRecord project, store_.GetProject(name.tenant, name.id));
  return gateway::ToProto(project);
}

absl::StatusOr<v1::ListProjectsResponse> IdentityService::ListProjects(
    const v1::ListProjectsRequest& request) {
  ASSIGN_OR_RETURN(const TenantName tenant, TenantName::Parse("parent", request.parent()));
  ASSIGN_OR_RETURN(const Page page, Page::Read(request.page_size(), request.page_token()));
  ASSIGN_OR_RETURN(auto projects, store_.ListProjects(tenant.tenant, page.after, page.size + 1));
  v1::ListProjectsResponse response;
  page.Fill(
      std::move(projects), response,
      [&](const ProjectRecord& project) { *response.add_projects() = gateway::ToProto(project); },
      [](const ProjectRecord& project) { return project.id; });
  return response;
}

absl::StatusOr<v1::Project> IdentityService::ArchiveProject(
    const v1::ArchiveProjectRequest& request) {
  ASSIGN_OR_RETURN(const ProjectName name, ProjectName::Parse("name", request.name()));
  if (name.id == kDefaultProject) {
    return absl::FailedPreconditionError("the default project cannot be archived");
  }
  ASSIGN_OR_RETURN(const ProjectRecord project,
                   store_.ArchiveProject(name.tenant, name.id, clock_.Now()));
  RETURN_IF_ERROR(feed_.Refresh());
  return gateway::ToProto(project);
}

}  // namespace slipway::gateway
