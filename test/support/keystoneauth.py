# Uses an IAM as OpenStack's own clients do. Arguments: URL without /v3, user, password, domain, and id, name and
# secret of an application credential.
import json
import sys

from keystoneauth1 import discover, session
from keystoneauth1.identity import v3

url, user, password, domain, app_id, app_name, app_secret = sys.argv[1:]
by_password = v3.Password(
    auth_url=url + "/v3", username=user, password=password, user_domain_name=domain, project_id="p"
)
scoped = session.Session(auth=by_password)
unscoped = session.Session(
    auth=v3.Password(auth_url=url + "/v3", username=user, password=password, user_domain_name=domain, unscoped=True)
)
of_domain = session.Session(
    auth=v3.Password(
        auth_url=url + "/v3", username=user, password=password, user_domain_name=domain, domain_name=domain
    )
)
by_token = session.Session(auth=v3.Token(auth_url=url + "/v3", token=unscoped.get_token(), project_id="q"))
by_application = session.Session(
    auth=v3.ApplicationCredential(
        auth_url=url + "/v3", application_credential_id=app_id, application_credential_secret=app_secret
    )
)
by_name = session.Session(
    auth=v3.ApplicationCredential(
        auth_url=url,
        application_credential_name=app_name,
        application_credential_secret=app_secret,
        username=user,
        user_domain_name=domain,
    )
)
validated = scoped.get(
    url + "/v3/auth/tokens", headers={"X-Subject-Token": scoped.get_token()}, authenticated=True
).json()
print(
    json.dumps(
        {
            "versions": [str(v["version"]) for v in discover.Discover(session.Session(), url).version_data()],
            "endpoint": scoped.get_endpoint(service_type="cfw", interface="public"),
            "project": scoped.get_project_id(),
            "unscoped": unscoped.get_project_id(),
            "domain": of_domain.auth.get_access(of_domain).domain_name,
            "rescoped": by_token.get_project_id(),
            "application": [by_application.get_project_id(), by_name.get_project_id()],
            "validated": validated["token"]["project"]["id"],
        }
    )
)
